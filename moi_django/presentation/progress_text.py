"""How far a job is, as a row of a page or a line in a terminal says it.

The script of the page says it in the same way: see `job_fields.js`.
"""

from moi_django.models import Info, State
from moi_django.presentation.formatting import round_duration


def is_shown(info: Info) -> bool:
    """Tell whether a job runs and has said how far it is."""
    return info.state is State.RUNNING and (info.progress is not None or info.done is not None)


def amount(info: Info) -> str:
    """Return how far a job is in what it counts, such as 3/10; empty when it counts nothing."""
    if info.state is State.SUCCESS or info.progress is None or not info.total:
        return ""
    return f"{_tenths(info.done or 0)}/{_tenths(info.total)}"


def percent(info: Info) -> int | None:
    """Return how far a job is that counts nothing."""
    if info.state is State.SUCCESS or info.progress is None or info.total:
        return None
    return int(info.progress * 100)


def count(info: Info) -> int | None:
    """Return how much a job has done that does not know of how much."""
    if info.state is State.SUCCESS or info.progress is not None or info.done is None:
        return None
    return int(info.done)


def remaining(info: Info) -> tuple[str, int] | None:
    """Return a unit of time, and how many of it a job needs until its end; None when unknown."""
    seconds = info.remaining_seconds()
    return None if seconds is None else round_duration(seconds)


def _tenths(number: float) -> str:
    return f"{int(number * 10 + 0.5) / 10:.1f}".removesuffix(".0")
