"""How a job is to be run: how often, how long. Plain data that engines read too."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from numbers import Real
from typing import Any, Self

from moi_django.exceptions import InvalidJob
from moi_django.models import RUN, SKIP
from moi_django.validation import is_id

# Seconds: no pause between two attempts is longer.
MAX_BACKOFF = 3600.0
MAX_PRIORITY = 100
# A job waits for so many jobs and groups at most.
MAX_PARENTS = 100
# No number of an option is larger: as seconds that is longer than anybody waits. And no time is
# farther from 1970: that is in the year 3871, which every zone and clock can show.
MAX_NUMBER, MAX_TIME = 1e9, 6e10


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What `submit` takes as `options=`. Raises InvalidJob for a value that makes no sense."""

    # How many more attempts there are at a job that failed or took longer than its timeout.
    retries: int = 0
    # Seconds from a failure to the next attempt; each pause is twice the one before, up to an hour.
    backoff: float = 1.0
    # Count a lost engine as a failure: the job may by then have done some of its work.
    retry_on_lost: bool = False
    # Seconds that one attempt may take; None for any time.
    timeout: float | None = None
    # Jobs of one owner that give the same name here share a process on each engine, one after the
    # other, with all that earlier ones have left in it. None: each has a process of its own.
    process: str | None = None
    # Those with a higher number come first, from -100 to 100, whoever has submitted them.
    priority: int = 0
    # Begin not before then: an aware time, or how long from now.
    run_after: datetime | timedelta | None = None
    # Jobs and groups, or ids of some, that have to end first; a group when all in it has.
    after: Sequence[Any] = ()
    # "skip": end as cancelled when one of them does not succeed. "run": run all the same.
    on_failure: str = SKIP
    # Key of MOI["LIMITS"], which says how many of those that name it may run at once.
    limit: str | None = None
    # A key that one unfinished job of an owner may have: it is returned, or InvalidJob raised.
    unique: str | None = None
    on_duplicate: str = "return"
    # Who is told of its end: words that `contrib.notify` knows. None: as the owner has chosen.
    notify: str | None = None
    # What is active in the job, such as "de" and "Europe/Berlin", and the request that it is for.
    # None: those of who submits it.
    language: str | None = None
    time_zone: str | None = None
    request_id: str | None = None

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        for is_right, complaint in (*self._numbers(), *self._names(), *self._order()):
            if not is_right:
                raise InvalidJob(complaint)
        # As JSON has them, also when numpy has made them.
        for name in ("retries", "priority"):
            object.__setattr__(self, name, int(getattr(self, name)))
        object.__setattr__(self, "after", tuple(self.after))
        for name in ("backoff", "timeout"):
            if (seconds := getattr(self, name)) is not None:
                object.__setattr__(self, name, float(seconds))

    def _numbers(self) -> list[tuple[bool, str]]:
        retries, backoff, timeout, priority = map(
            _number, (self.retries, self.backoff, self.timeout, self.priority)
        )
        return [
            (
                retries is not None and retries >= 0 and retries % 1 == 0,
                f"retries is {self.retries!r}: give a whole number from 0 on.",
            ),
            (
                backoff is not None and backoff >= 0,
                f"backoff is {self.backoff!r}: give seconds, from 0 on.",
            ),
            (
                self.timeout is None or (timeout is not None and timeout > 0),
                f"timeout is {self.timeout!r}: give seconds, more than 0, or None.",
            ),
            (
                priority is not None and abs(priority) <= MAX_PRIORITY and priority % 1 == 0,
                f"priority is {self.priority!r}: give a whole number from -100 to 100.",
            ),
        ]

    def _names(self) -> list[tuple[bool, str]]:
        return [
            *(
                (_is_name(value), f"{key} is {value!r}: give a name, or None.")
                for key, value in {"process": self.process, **self.caller}.items()
            ),
            (
                _is_name(self.limit),
                f'limit is {self.limit!r}: give a key of MOI["LIMITS"], or None.',
            ),
            (
                _is_name(self.notify) and len(self.notify or "") <= 1_000,
                f"notify is {self.notify!r:.200}: give words, 1,000 characters at most, or None.",
            ),
            (
                bool(self.retries) or not self.retry_on_lost,
                "retry_on_lost needs retries: say how many times, retries=1 or more.",
            ),
            (
                is_id("-" if self.unique is None else self.unique)
                and self.on_duplicate in ("return", "raise"),
                f"unique is {self.unique!r}, on_duplicate {self.on_duplicate!r}: give 1 to 200 "
                'printable characters or None, and "return" or "raise".',
            ),
        ]

    def _order(self) -> list[tuple[bool, str]]:
        return [
            (
                self.run_after is None or _is_time(self.run_after),
                f"run_after is {self.run_after!r}: give a timedelta, or a time with its zone, such "
                "as django.utils.timezone.now() + timedelta(hours=1), that one can live to see.",
            ),
            (
                isinstance(self.after, list | tuple | set | frozenset)
                and len(self.after) <= MAX_PARENTS,
                f"after is {self.after!r:.200}: give a list of jobs, groups or their ids, "
                f"{MAX_PARENTS} at most; put more of them into a group, and give that.",
            ),
            (
                self.on_failure in (SKIP, RUN),
                f"on_failure is {self.on_failure!r}: give 'skip' or 'run'.",
            ),
        ]

    @classmethod
    def require(cls, given: Any) -> "Options":
        """Return the options that are given; raise InvalidJob for what is none."""
        if not isinstance(given, Options):
            raise InvalidJob(f"options is {given!r:.200}: give moi_django.Options(...).")
        return given

    def without_order(self) -> Self:
        """Return how each attempt is run, without what it is to wait for once."""
        return replace(self, run_after=None, after=())

    @property
    def caller(self) -> dict[str, Any]:
        """What of who submits it is active in the job."""
        return {name: getattr(self, name) for name in ("language", "time_zone", "request_id")}

    @property
    def attempts(self) -> int:
        """The maximum number of attempts."""
        return self.retries + 1

    def backoff_seconds(self, attempt: int) -> float:
        """Return the seconds from the failure of an attempt to the next one."""
        return min(MAX_BACKOFF, self.backoff * 2.0 ** min(attempt - 1, 60))


def _number(value: Any) -> Any:
    """Return what is a number that anybody can wait for, else None."""
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    return value if is_number and abs(value) <= MAX_NUMBER else None


def _is_time(value: Any) -> bool:
    """Tell whether that says how long from now, or when in some zone."""
    if isinstance(value, timedelta):
        return abs(value.total_seconds()) <= MAX_NUMBER
    is_aware = isinstance(value, datetime) and value.utcoffset() is not None
    return is_aware and abs(value.timestamp()) <= MAX_TIME


def _is_name(value: Any) -> bool:
    return value is None or (isinstance(value, str) and bool(value))
