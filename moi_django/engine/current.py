"""The job that this process runs now, as the code in it sees it.

Outside of a job the functions below do nothing, so that a function can be called anywhere.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import islice
from math import isfinite
from os import PathLike
from typing import Any, NamedTuple, TypeVar

from moi_django.engine.encoding import ResultTooLarge, encode_result, to_json
from moi_django.exceptions import InvalidJob
from moi_django.models import MAX_AMOUNT, about
from moi_django.validation import parse_json

logger = logging.getLogger(__name__)

# Bytes of JSON, and seconds between two checkpoints of a loop.
MAX_CHECKPOINT, LOOP_INTERVAL = 64_000, 1.0
_TOO_LARGE = (
    f"A checkpoint is {MAX_CHECKPOINT:,} bytes of JSON at most: keep what is large elsewhere."
)
_ONE_LOOP = "track(resume=True) has the checkpoint for one loop: for more, use checkpoint() alone."

T = TypeVar("T")


class ProgressUpdate(NamedTuple):
    """How far a job is, as its info object says it."""

    # From 0 to 1; None when nobody knows of how much.
    progress: float | None
    done: float
    total: float | None


class Checkpoint:
    """Where a job is to go on, as JSON; `tell` takes what this attempt says of that."""

    def __init__(self, json: str | None = None, tell: Callable[[str], object] = len) -> None:
        self.json, self._told, self._tell = json, json, tell
        self._told_at, self.has_loop = 0.0, False

    def flush(self, interval: float = 0.0) -> None:
        """Tell the latest, unless the one before was told less than so many seconds ago."""
        json, present = self.json, time.monotonic()
        if json is not None and json is not self._told and present >= self._told_at + interval:
            self._tell(json)  # first: an interrupt may come at any time
            self._told, self._told_at = json, present


def check_checkpoint(job: Any, raw: bytes) -> str | None:
    """Return the checkpoint of a job that comes from elsewhere; None when it can be none."""
    try:
        if len(raw) > MAX_CHECKPOINT:
            raise ValueError(f"{len(raw):,} bytes are too many")
        parse_json(raw)
        return raw.decode()
    except ValueError as error:
        logger.warning("The checkpoint of job %s is left out: %s", job.id, error, extra=about(job))
        return None


@dataclass(frozen=True)
class CurrentJob:
    """One attempt at a job, in its process."""

    id: str
    name: str
    # Number of the attempt, from 1 on.
    attempt: int
    # Name of the cluster.
    context: str | None
    # Id of the group that the job belongs to.
    parent: str | None
    status_update: Callable[[str], str]
    _note_progress: Callable[[ProgressUpdate], object]
    _attach: Callable[[str, "bytes | str | PathLike[str]"], object]
    # Takes the id of a job that this one waits for, and whether the wait is over.
    _note_wait: Callable[[str, bool], object] = lambda id, is_over: None
    _checkpoint: Checkpoint = field(default_factory=Checkpoint)
    # The info object at the start of the attempt, of a job that runs a task of Django's.
    info_json: str | None = None
    # Those of who has submitted it.
    language: str | None = None
    time_zone: str | None = None
    request_id: str | None = None
    # What runs a coroutine function of the job to its end.
    run_coroutine: Callable[[Any], Any] = asyncio.run

    @property
    def keywords(self) -> dict[str, object]:
        """What a function of a job may ask for by keyword."""
        return {
            "status_update": self.status_update,
            "moi_update_status": self.status_update,
            "moi_context": self.context,
            "moi_parent_id": self.parent,
            "moi_progress": self.progress,
            "moi_track": self.track,
            "moi_attach": self.attach,
            "moi_checkpoint": self.checkpoint,
            "moi_resume": self.resume,
        }

    def progress(self, done: float, total: float | None = None) -> None:
        """Show how far the job is: `done` of `total`, or a share from 0 to 1 without a total.

        It may be called as often as one likes; the latest is shown a few times a second. A total of
        0 or less says nothing of how much there is: then it is what `count` shows. Beyond
        MAX_AMOUNT only the share is shown, and what is no finite number is not.
        """
        if total is not None and total <= 0:
            self.count(done)
        elif _is_finite(done) and (total is None or _is_finite(total)):
            share = float(min(1.0, max(0.0, done if total is None else _divide(done, total))))
            if max(abs(done), total or 0) <= MAX_AMOUNT:
                given = None if total is None else float(total)
                self._note_progress(ProgressUpdate(share, float(done), given))
            else:
                self._note_progress(ProgressUpdate(share, share, None))

    def count(self, done: float) -> None:
        """Show how much is done when nobody knows of how much, up to MAX_AMOUNT."""
        if abs(done) <= MAX_AMOUNT:
            self._note_progress(ProgressUpdate(None, float(done), None))

    def track(
        self, items: Iterable[T], total: float | None = None, resume: bool = False
    ) -> Iterator[T]:
        """Yield the items and show how many of them are done, and of how many if that is known.

        With `resume`, their number is the checkpoint, and those done earlier are left out.
        """
        total = len(items) if total is None and isinstance(items, Sized) else total
        done = self.resume(0) if resume else 0
        if resume and (self._checkpoint.has_loop or type(done) is not int):
            raise InvalidJob(f"track() cannot go on from {str(done)[:50]!r}. {_ONE_LOOP}")
        self._checkpoint.has_loop |= resume
        try:
            for item in islice(items, done, None):
                self._count_to(done, total)
                yield item
                done += 1
                if resume:
                    self._checkpoint.json = str(done)
                    self._checkpoint.flush(LOOP_INTERVAL)
            self._count_to(total or done, total)
        finally:
            if resume:
                self._checkpoint.flush()

    def _count_to(self, done: float, total: float | None) -> None:
        if total is None:
            self.count(done)
        else:
            self.progress(done, total)

    def attach(self, name: str, content: "bytes | str | PathLike[str]") -> None:
        """Keep a file with the job, for download: bytes, or the path of a file.

        Raises InvalidJob for a name or a file that cannot be kept, MoiError when the engine has no
        Django to keep it with.
        """
        self._attach(name, content)

    def checkpoint(self, value: object) -> None:
        """Keep a value for later attempts, as JSON. Raises InvalidJob when it is too large."""
        try:
            self._checkpoint.json = to_json(encode_result(value, MAX_CHECKPOINT))
        except ResultTooLarge:
            raise InvalidJob(_TOO_LARGE) from None
        self._checkpoint.flush()

    def resume(self, default: object = None) -> Any:
        """Return the value that was kept last, by an earlier attempt or by this one."""
        return default if (json := self._checkpoint.json) is None else parse_json(json)

    @contextmanager
    def note_wait(self, id: str) -> Iterator[None]:
        """Say that the job waits for another one in the block, which may need its engine."""
        self._note_wait(id, False)
        try:
            yield
        finally:
            self._note_wait(id, True)


def _is_finite(number: float) -> bool:
    try:
        return isfinite(number)
    except OverflowError:
        return True  # a whole number beyond all floats


def _divide(done: float, total: float) -> float:
    try:
        return done / total
    except OverflowError:
        return 1.0 if done > 0 else 0.0
    except TypeError:  # kinds that do not go together, such as Decimal and float
        return float(done) / float(total)


_current: CurrentJob | None = None
# Make what the jobs of an engine are run in; the app puts them here, where there is Django.
surroundings: Sequence[Callable[[CurrentJob], AbstractContextManager[object]]] = ()


@contextmanager
def enter_job(job: CurrentJob) -> Iterator[None]:
    """Make a job the current one in the block, for all threads."""
    global _current
    _current, before = job, _current
    try:
        yield
    finally:
        _current = before


@contextmanager
def surround(job: CurrentJob) -> Iterator[None]:
    """Run the block in the surroundings of a job."""
    with ExitStack() as stack:
        for make in surroundings:
            stack.enter_context(make(job))
        yield


def current_job() -> CurrentJob | None:
    """Return the job that this process runs, or None outside of a job."""
    return _current


def progress(done: float, total: float | None = None) -> None:
    """Show how far the current job is, as `CurrentJob.progress` does."""
    if _current is not None:
        _current.progress(done, total)


def track(items: Iterable[T], total: float | None = None, resume: bool = False) -> Iterator[T]:
    """Yield the items and show how many of them are done, as `CurrentJob.track` does."""
    return iter(items) if _current is None else _current.track(items, total, resume)


def attach(name: str, content: "bytes | str | PathLike[str]") -> None:
    """Keep a file with the current job, as `CurrentJob.attach` does."""
    if _current is not None:
        _current.attach(name, content)


def checkpoint(value: object) -> None:
    """Keep a value for later attempts at the current job, as `CurrentJob.checkpoint` does."""
    if _current is not None:
        _current.checkpoint(value)


def resume(default: object = None) -> Any:
    """Return what the current job has kept last, as `CurrentJob.resume` does."""
    return default if _current is None else _current.resume(default)


@contextmanager
def note_wait(id: str) -> Iterator[None]:
    """Say that the current job, if there is one, waits for another one in the block."""
    with _current.note_wait(id) if _current is not None else nullcontext():
        yield
