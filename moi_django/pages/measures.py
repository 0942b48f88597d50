"""Write seconds, bytes and shares as people read them, in units that need no translation."""

from collections.abc import Callable

_STEPS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))

# Writes a number with so many decimals.
Write = Callable[[float, int], str]


def english(number: float, decimals: int) -> str:
    """Write a number as English has it."""
    return f"{number:,.{decimals}f}"


def duration(seconds: float | None, write: Write = english) -> str:
    """Return a length of time in its one or two largest units; a dash for none."""
    if seconds is None:
        return "—"
    if seconds < 10:
        return f"{write(max(0.0, seconds), 1)} s"
    left, parts = round(seconds), list[str]()
    for length, unit in _STEPS:
        count, left = divmod(left, length)
        if count or parts:
            parts.append(f"{write(count, 0)} {unit}" if count else "")
    return " ".join(filter(None, parts[:2]))


def size(count: float | None, write: Write = english) -> str:
    """Return a number of bytes in its largest unit; a dash for none."""
    if count is None:
        return "—"
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{write(count, 0)} {unit}"
        count /= 1000
    return f"{write(count, 1)} TB"


def percent(share: float | None, write: Write = english) -> str:
    """Return a share in whole per cents; a dash for none."""
    return "—" if share is None else f"{write(share, 0)} %"
