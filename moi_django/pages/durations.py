"""How long a job has run and how long it will: the figures of the page before its script runs.

The script reckons in the same way, see `runTime`, `clockOf` and `roughly` there.
"""

import time

from moi_django.models import Info, State, timestamp


def run_time(info: Info) -> float | None:
    """Return for how many seconds a job has run so far or did run; None when it has not begun."""
    if not timestamp(info.date_start):
        return None
    return max(0.0, (timestamp(info.date_end) or time.time()) - timestamp(info.date_start))


def clock(seconds: float) -> str:
    """Return seconds as a clock shows them, 1:02:03 or 2:03."""
    hours, minutes, rest = int(seconds) // 3600, int(seconds) // 60 % 60, int(seconds) % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def remaining(info: Info) -> tuple[str, int] | None:
    """Return a unit of time, and how many of it a job needs until its end; None when unknown."""
    elapsed = run_time(info)
    if info.state is not State.RUNNING or elapsed is None or elapsed < 1:
        return None
    if not info.progress or not 0 < info.progress < 1:
        return None
    return roughly(elapsed / info.progress - elapsed)


def roughly(seconds: float) -> tuple[str, int]:
    """Return a time in words that do not change too often."""
    if seconds < 60:
        return "seconds", -int(-seconds // 5) * 5
    for unit, length, limit in (("minutes", 60, 3600), ("hours", 3600, 48 * 3600)):
        if seconds < limit:
            return unit, int(seconds / length + 0.5)
    return "days", int(seconds / 86400 + 0.5)
