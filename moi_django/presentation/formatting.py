"""Write numbers, seconds, bytes and shares as people read them, with their units.

What the script of the page writes itself, it writes in the same way: see `time_format.js`.
"""

from collections.abc import Callable
from decimal import Decimal

from django.utils.formats import number_format
from django.utils.translation import gettext, pgettext_lazy

_STEPS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))

_UNITS = {
    "d": pgettext_lazy("unit", "d"),
    "h": pgettext_lazy("unit", "h"),
    "min": pgettext_lazy("unit", "min"),
    "s": pgettext_lazy("unit", "s"),
    "B": pgettext_lazy("unit", "B"),
    "kB": pgettext_lazy("unit", "kB"),
    "MB": pgettext_lazy("unit", "MB"),
    "GB": pgettext_lazy("unit", "GB"),
    "TB": pgettext_lazy("unit", "TB"),
}
# Writes a number with a number of decimals, and its unit if it has one.
Write = Callable[[float, int, str], str]


def format_english(number: float, decimals: int, unit: str = "") -> str:
    """Write a number as English has it."""
    return f"{number:,.{decimals}f} {unit}".rstrip()


def format_duration(seconds: float | None, write: Write = format_english) -> str:
    """Return a length of time in its one or two largest units; a dash for none."""
    if seconds is None:
        return "—"
    if seconds < 10:
        return write(max(0.0, seconds), 1, "s")
    left, parts = round(seconds), list[str]()
    for length, unit in _STEPS:
        count, left = divmod(left, length)
        if count or parts:
            parts.append(write(count, 0, unit) if count else "")
    return " ".join(filter(None, parts[:2]))


def format_size(count: float | None, write: Write = format_english) -> str:
    """Return a number of bytes in its largest unit; a dash for none."""
    if count is None:
        return "—"
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return write(count, 0, unit)
        count /= 1000
    return write(count, 1, "TB")


def format_percent(share: float | None, write: Write = format_english) -> str:
    """Return a share in whole per cents; a dash for none."""
    return "—" if share is None else write(share, 0, "%")


def format_localized(number: float, decimals: int, unit: str = "") -> str:
    """Write a number in the language of the page, rounded: Django cuts decimals off."""
    written = number_format(Decimal(f"{number:.{decimals}f}"), decimals)
    if unit == "%":
        return gettext("%(number)s%%") % {"number": written}
    return f"{written} {_UNITS.get(unit, '')}".rstrip()


def format_clock(seconds: float) -> str:
    """Return seconds as a clock shows them, 1:02:03 or 2:03."""
    hours, minutes, rest = int(seconds) // 3600, int(seconds) // 60 % 60, int(seconds) % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def round_duration(seconds: float) -> tuple[str, int]:
    """Return a time in words that do not change too often."""
    if seconds < 60:
        return "seconds", -int(-seconds // 5) * 5
    for unit, length, limit in (("minutes", 60, 3600), ("hours", 3600, 48 * 3600)):
        if seconds < limit:
            return unit, int(seconds / length + 0.5)
    return "days", int(seconds / 86400 + 0.5)
