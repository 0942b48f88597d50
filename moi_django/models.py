"""What is known of a job or a group, its info object; earlier attempts at a job, and its states.

Plain data and the rules about it. `store/` keeps it in Redis, not in the database, so there is
nothing to migrate and an engine that has no Django can read and write it.
"""

import json
import re
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self

from moi_django.validation import is_safe_url


class State(StrEnum):
    """The machine's word for where a job is; `status` is the text that people read."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"

    @property
    def finished(self) -> bool:
        """True for a state that is never left."""
        return self not in UNFINISHED

    @property
    def status(self) -> str:
        """The status text a job in this state has unless it set one of its own."""
        return "Failed" if self is State.LOST else self.value.capitalize()


# The states that a job leaves; the others are ends.
UNFINISHED = (State.QUEUED, State.RUNNING)
# What the bar of a group shows, from its start to its end, and which states that is.
BAR_PARTS: dict[str, tuple[State, ...]] = {
    "success": (State.SUCCESS,),
    "failed": (State.FAILED, State.LOST),
    "cancelled": (State.CANCELLED,),
    "running": (State.RUNNING,),
    "queued": (State.QUEUED,),
}
JOB, GROUP = "job", "group"
RETRIED = "retried"
# What becomes of a job when one of its parents does not succeed.
SKIP, RUN = "skip", "run"
GROUP_STATUS = "Group"
# How many earlier attempts of a job are remembered, and how many characters of the error of each.
MAX_EARLIER_ATTEMPTS, MAX_ERROR_LENGTH = 10, 200
# In a traceback: a place in code, with the margin of a group of exceptions; and the module of what
# was raised.
_FRAME = re.compile(r'(?P<margin>(?:  \| )?)  File "')
_MODULE = re.compile(r"^(?:[\w<>]+\.)+(?=\w+(?::|$))")
# No number of an info object is larger: neither Lua nor JavaScript can count beyond.
MAX_AMOUNT = 2.0**53


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt at a job that came to nothing and was followed by another one."""

    attempt: int
    # FAILED or LOST.
    state: State
    date_start: str | None
    date_end: str | None
    # What its traceback says last.
    error: str
    # CPU seconds, and bytes of memory at most, of its process; None when that was not measured.
    cpu_seconds: float | None = None
    peak_memory: int | None = None
    # Id of its engine, dotted path of the class of what it raised, and digest of the code that the
    # engine had loaded, where that is known.
    ran_on: str | None = None
    exception: str | None = None
    engine_code: str | None = None

    @property
    def ran_seconds(self) -> float:
        """For how many seconds it ran."""
        return timestamp(self.date_end) - timestamp(self.date_start)


@dataclass(frozen=True, slots=True)
class Info:
    """Everything known about one job or group: the info object of the wire and of Redis."""

    id: str
    name: str
    # JOB or GROUP.
    type: str
    # Channel that tells of changes, without the key prefix.
    pubsub: str
    # Where the result can be looked at once `/<id>` is appended, or None.
    url: str | None = None
    # Id of the group it belongs to; None for a root group.
    parent: str | None = None
    # Text for people.
    status: str = GROUP_STATUS
    # A value that JSON can carry; for a job that failed, its traceback as one string.
    result: Any = None
    # Times are UTC, "YYYY-MM-DD HH:MM:SS.ffffff".
    date_start: str | None = None
    date_end: str | None = None
    date_created: str | None = None
    # Name of the cluster it was sent to; None for a group.
    context: str | None = None
    # None for a group.
    state: State | None = None
    # Grows by one with every change.
    version: int = 1
    # Number of the attempt; a write by an older one is refused.
    attempt: int = 1
    # Maximum number of attempts.
    attempts: int = 1
    # Earlier attempts, the oldest first; the last MAX_EARLIER_ATTEMPTS of them.
    runs: tuple[Attempt, ...] = ()
    # Id that ipyparallel gave to the engine which took it, or None.
    engine: str | None = None
    # Id of the job that runs in the place of this one, which did not succeed; or None.
    retried: str | None = None
    # How far a job says it is, from 0 to 1, and in what it counts; None when it has not said so.
    # There can be a `done` alone, when nobody knows of how much.
    progress: float | None = None
    done: float | None = None
    total: float | None = None
    # How many times it has attached a file.
    attached: int = 0
    # Version of the Python that pickled its function, which an engine must have to run it.
    python: str | None = None
    # Higher ones come first, from -100 to 100; and the key of MOI["LIMITS"] that it counts for.
    priority: int = 0
    limit: str | None = None
    # When it may begin, if it was submitted with a delay; UTC as the other times.
    run_after: str | None = None
    # Ids of the jobs and groups that have to end before it begins, and whether it is then run or
    # ends as cancelled when one of them did not succeed; the id of that one.
    after: tuple[str, ...] = ()
    on_failure: str = SKIP
    failed_parent: str | None = None
    # The key that it shares with no other unfinished job of its owner.
    unique: str | None = None
    # Who is told of its end, and the language that is active in it, as `Options` has them.
    notify: str | None = None
    language: str | None = None
    # CPU seconds, and bytes of memory at most, of the process of the last attempt that has ended.
    cpu_seconds: float | None = None
    peak_memory: int | None = None
    # Dotted path of the class of what it raised, of a job that failed; None when nobody knows.
    exception: str | None = None
    # Digest of the code of the site when it was submitted, and of what its engine had loaded.
    code: str | None = None
    engine_code: str | None = None
    # Dotted path of the task of Django's that it runs, whose arguments are then kept with it.
    task: str | None = None
    # What is called with which arguments, in short; None when the site does not want it noted.
    call: str | None = None
    # Ids from the root group down to this one, joined by ":".
    path: str = ""
    # Counts of a group, when they were looked up; kept elsewhere in Redis than the rest.
    # How many jobs and groups are directly in it.
    size: int | None = None
    # `counted_as` -> number of the jobs anywhere below by parent, expired ones too.
    totals: dict[str, int] | None = None

    @property
    def is_group(self) -> bool:
        """True for a group, False for a job."""
        return self.type == GROUP

    @property
    def is_root(self) -> bool:
        """True for the group in which all of one owner is."""
        return self.is_group and self.parent is None

    @property
    def finished(self) -> bool:
        """True when the state will never change again."""
        return self.state is not None and self.state.finished

    @property
    def cancellable(self) -> bool:
        """True for a job that has not come to its end."""
        return not self.is_group and not self.finished

    @property
    def retryable(self) -> bool:
        """True for a job that ended without success and was not retried before."""
        return self.finished and self.state is not State.SUCCESS and not self.retried

    @property
    def counts_attempts(self) -> bool:
        """True for a job that may have several attempts, unless the first one has succeeded."""
        return self.attempts > 1 and (self.attempt > 1 or self.state is not State.SUCCESS)

    @property
    def has_failed(self) -> bool:
        """True for a job that failed or got lost, and that nobody has retried."""
        return self.state in BAR_PARTS["failed"] and not self.retried

    @property
    def error_line(self) -> str | None:
        """What the traceback of a job that failed says last, or None."""
        has_error = self.state in BAR_PARTS["failed"] and isinstance(self.result, str)
        return (has_error and error_line_of(self.result)) or None

    def ran_seconds(self, present: float | None = None) -> float | None:
        """Return for how many seconds a job has run so far or did run; None before its start.

        `present` is the time now in seconds since 1970, by the clock of this machine unless given.
        """
        start = timestamp(self.date_start)
        return max(0.0, self._end_or(present) - start) if start else None

    def waited_seconds(self, present: float | None = None) -> float:
        """Return for how many seconds a job has waited so far, or did until its start or end."""
        until = timestamp(self.date_start) or self._end_or(present)
        return max(0.0, until - timestamp(self.date_created))

    def remaining_seconds(self, present: float | None = None) -> float | None:
        """Return for how many seconds a job will probably go on; None when nobody knows."""
        ran = self.ran_seconds(present)
        if self.state is not State.RUNNING or ran is None or ran < 1:
            return None
        # A share of nearly nothing tells nothing.
        return ran / self.progress - ran if self.progress and 1e-6 < self.progress < 1 else None

    def count_below(self, states: Iterable[State]) -> int:
        """Return how many jobs below a group are in some states, by its `totals`."""
        return sum((self.totals or {}).get(state, 0) for state in states)

    def _end_or(self, present: float | None) -> float:
        return timestamp(self.date_end) or (time.time() if present is None else present)

    @property
    def counted_as(self) -> str:
        """As what a job counts in the totals of the groups above it; empty for a group.

        One that was run again is no failure that somebody has yet to look after.
        """
        return RETRIED if self.retried else self.state or ""

    @property
    def ancestors(self) -> list[str]:
        """Ids of the groups above this one, the root first."""
        return self.path.split(":")[:-1]

    @property
    def owner(self) -> str:
        """Id of the root group: whose tree this is in."""
        return self.path.split(":")[0]

    @property
    def queue(self) -> str:
        """Name of the queue in which it waits: of its context, for engines of its Python."""
        return f"{self.context or ''}:{self.python or ''}"

    @property
    def link(self) -> str | None:
        """Address of the result, or None when there is no url or it could run as code."""
        if not self.url or not is_safe_url(self.url):
            return None
        return f"{self.url.rstrip('/')}/{self.id}"

    def changed(self, **fields: Any) -> Self:
        """Return a copy with other field values and the next version."""
        return replace(self, version=self.version + 1, **fields)

    def ended(self, state: State, **fields: Any) -> Self:
        """Return the job as it has come to its end just now, with the status text of that end."""
        return self.changed(state=state, status=state.status, date_end=now(), **fields)

    def requeued(self, state: State, result: str, exception: str | None = None) -> Self:
        """Return the job as it waits for its next attempt; `result` says why this one failed."""
        times = (self.date_start, now())
        used = (self.cpu_seconds, self.peak_memory)
        why = (self.engine, exception, self.engine_code)
        attempt = Attempt(self.attempt, state, *times, error_line_of(result), *used, *why)
        return self.changed(
            state=State.QUEUED,
            status=State.QUEUED.status,
            result=result,
            attempt=self.attempt + 1,
            runs=(*self.runs, attempt)[-MAX_EARLIER_ATTEMPTS:],
            date_start=None,
            engine=None,
            progress=None,
            done=None,
            total=None,
            cpu_seconds=None,
            peak_memory=None,
            engine_code=None,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the info object as Redis has it."""
        known = {name: getattr(self, name) for name in INFO_FIELDS}
        lists = {"runs": [asdict(attempt) for attempt in self.runs], "after": list(self.after)}
        return {**known, **lists, "owner": self.owner}

    def to_json(self) -> str:
        """Return the info object as ASCII JSON.

        Raises ValueError or TypeError when `result` is not a value of JSON.
        """
        return _dump_json(self.to_dict())

    def to_wire(self, limit: int | None = None) -> str:
        """Return the info object as the websocket has it.

        A group has its `size` and `totals` besides, a job its `error_line`. A result that takes
        more than `limit` bytes of JSON is left out, and `"result_omitted": true` says so.
        """
        data = self.to_dict() | self.derived
        if limit is not None and self.result is not None and len(_dump_json(self.result)) > limit:
            data |= {"result": None, "result_omitted": True}
        return _dump_json(data)

    def to_changes(self, before: Self) -> str:
        """Return as JSON what is other than `before` was, the version of which is in `since`."""
        old, new = (each.to_dict() | each.derived for each in (before, self))
        # A page may have been shown other counts, which have no version.
        told = {name: it for name, it in new.items() if it != old[name] or name in _COUNTED}
        return _dump_json({"id": self.id, "since": before.version, **told, "version": self.version})

    @property
    def derived(self) -> dict[str, Any]:
        """What the websocket has besides: of a group its counts, of a job why it failed."""
        if self.is_group:
            return {"size": self.size, "totals": self.totals}
        return {"error_line": self.error_line}


_COUNTED = ("size", "totals")
INFO_FIELDS = tuple(field.name for field in fields(Info) if field.name not in _COUNTED)

# One encoder for all: json.dumps makes another each time.
_dump_json = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


def error_line_of(text: str) -> str:
    """Return why a job failed: of a traceback what was raised last, of another text its last line.

    That is the class without its module, and the first line of its message: a message goes on with
    hints and addresses, a group of exceptions with those in it and a line of dashes.
    """
    lines = text.rstrip().split("\n")
    for at in reversed(range(len(lines))):
        if frame := _FRAME.match(lines[at]):
            margin = frame["margin"]
            below = (line for line in lines[at:] if not line.startswith(f"{margin}  "))
            raised = next((line for line in below if line.startswith(margin)), lines[-1])
            return _MODULE.sub("", raised.removeprefix(margin))[:MAX_ERROR_LENGTH]
    return lines[-1][:MAX_ERROR_LENGTH]


def about(job: Any) -> dict[str, Any]:
    """Return what the records of the log say of a job besides their text: `extra=about(info)`."""
    return {"job_id": job.id, "context": job.context}


def now() -> str:
    """Return the present time as an info object has it."""
    return format_date(datetime.now(UTC))


def format_date(time: datetime) -> str:
    """Return a time with a zone as an info object has it."""
    return time.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


def timestamp(date: str | None) -> float:
    """Return a time of an info object as seconds since 1970; 0 when it is none."""
    try:
        return datetime.fromisoformat(date or "").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return 0.0
