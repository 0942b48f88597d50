"""The job that this process runs now, as the code in it sees it.

Outside of a job the functions below do nothing, so that a function can be called anywhere.
"""

from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from math import isfinite
from os import PathLike
from typing import NamedTuple, TypeVar

from moi_django.models import MAX_AMOUNT

T = TypeVar("T")


class ProgressUpdate(NamedTuple):
    """How far a job is, as its info object says it."""

    # From 0 to 1; None when nobody knows of how much.
    progress: float | None
    done: float
    total: float | None


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

    def track(self, items: Iterable[T], total: float | None = None) -> Iterator[T]:
        """Yield the items and show how many of them are done, and of how many if that is known."""
        if total is None:
            total = len(items) if isinstance(items, Sized) else None
        done = 0
        for done, item in enumerate(items, 1):
            self._count_to(done - 1, total)
            yield item
        self._count_to(total or done, total)

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


@contextmanager
def enter_job(job: CurrentJob) -> Iterator[None]:
    """Make a job the current one in the block, for all threads."""
    global _current
    _current = job
    try:
        yield
    finally:
        _current = None


def current_job() -> CurrentJob | None:
    """Return the job that this process runs, or None outside of a job."""
    return _current


def progress(done: float, total: float | None = None) -> None:
    """Show how far the current job is, as `CurrentJob.progress` does."""
    if _current is not None:
        _current.progress(done, total)


def track(items: Iterable[T], total: float | None = None) -> Iterator[T]:
    """Yield the items and show how many of them are done, as `CurrentJob.track` does."""
    return iter(items) if _current is None else _current.track(items, total)


def attach(name: str, content: "bytes | str | PathLike[str]") -> None:
    """Keep a file with the current job, as `CurrentJob.attach` does."""
    if _current is not None:
        _current.attach(name, content)


@contextmanager
def note_wait(id: str) -> Iterator[None]:
    """Say that the current job, if there is one, waits for another one in the block."""
    with _current.note_wait(id) if _current is not None else nullcontext():
        yield
