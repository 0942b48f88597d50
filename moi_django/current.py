"""The job that this process runs now, as the code in it sees it.

Outside of a job the functions below do nothing, so that a function can be called anywhere.
"""

from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from os import PathLike
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class CurrentJob:
    """One run of a job, on its engine."""

    id: str
    name: str
    # Number of the run, from 1 on.
    attempt: int
    # Name of the cluster.
    context: str | None
    # Id of the group that the job belongs to.
    parent: str | None
    status_update: Callable[[str], str]
    _progress: Callable[[float, float | None], object]
    _attach: Callable[[str, "bytes | str | PathLike[str]"], object]

    def progress(self, done: float, total: float | None = None) -> None:
        """Show how far the job is: `done` of `total`, or a share from 0 to 1 without a total.

        It may be called as often as one likes; the latest is shown a few times a second. What is no
        finite number says nothing.
        """
        if isfinite(done) and isfinite(total or 0):
            self._progress(float(done), None if total is None else float(total))

    def track(self, items: Iterable[T], total: float | None = None) -> Iterator[T]:
        """Yield the items and show how many of them are done."""
        if total is None:
            total = len(items) if isinstance(items, Sized) else None
        for done, item in enumerate(items):
            if total:
                self.progress(done, total)
            yield item
        if total:
            self.progress(total, total)

    def attach(self, name: str, content: "bytes | str | PathLike[str]") -> None:
        """Keep a file with the job, for download: bytes, or the path of a file.

        Raises InvalidJob for a name or a file that cannot be kept, MoiError when the engine has no
        Django to keep it with.
        """
        self._attach(name, content)


_current: CurrentJob | None = None


@contextmanager
def entered(job: CurrentJob) -> Iterator[None]:
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
