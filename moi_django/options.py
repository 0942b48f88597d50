"""How a job is to be run: how often, how long. Plain data that engines read too."""

from dataclasses import dataclass
from numbers import Real
from typing import Any

from moi_django.exceptions import InvalidJob

# Seconds: no pause between two attempts is longer.
MAX_BACKOFF = 3600.0
# No number of an option is larger: as seconds that is longer than anybody waits.
MAX_NUMBER = 1e9


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

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        if not _is_number(self.retries) or self.retries < 0 or self.retries % 1:
            raise InvalidJob(f"retries is {self.retries!r}: give a whole number from 0 on.")
        if not _is_number(self.backoff) or self.backoff < 0:
            raise InvalidJob(f"backoff is {self.backoff!r}: give seconds, from 0 on.")
        if self.timeout is not None and (not _is_number(self.timeout) or self.timeout <= 0):
            raise InvalidJob(f"timeout is {self.timeout!r}: give seconds, more than 0, or None.")
        if self.process is not None and not (isinstance(self.process, str) and self.process):
            raise InvalidJob(f"process is {self.process!r}: give a name, or None.")
        if self.retry_on_lost and not self.retries:
            raise InvalidJob("retry_on_lost needs retries: say how many times, retries=1 or more.")
        # As JSON has them, also when numpy has made them.
        object.__setattr__(self, "retries", int(self.retries))
        for name in ("backoff", "timeout"):
            if (seconds := getattr(self, name)) is not None:
                object.__setattr__(self, name, float(seconds))

    @property
    def attempts(self) -> int:
        """The maximum number of attempts."""
        return self.retries + 1

    def backoff_seconds(self, attempt: int) -> float:
        """Return the seconds from the failure of an attempt to the next one."""
        return min(MAX_BACKOFF, self.backoff * 2.0 ** min(attempt - 1, 60))


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    return is_number and abs(value) <= MAX_NUMBER
