"""When a cron line ticks in a time zone: in seconds since 1970, so that no clock is set back."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from importlib.util import find_spec
from itertools import takewhile
from typing import Any
from zoneinfo import ZoneInfo

from moi_django.exceptions import InvalidJob, MoiError

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
# How far back is looked for the latest tick: no line is followed from tick to tick for months.
SPANS = (MINUTE, HOUR, DAY, 40 * DAY, 400 * DAY)


class CronMissing(MoiError):
    """Say that the library is not installed that reads cron lines."""


@dataclass(frozen=True, slots=True)
class CronLine:
    """A cron line and the name of the zone whose clocks it means. Raises InvalidJob, CronMissing.

    Around a change of the clocks it is as with the cron of Debian: what is to run at certain hours
    runs once, at the first of two equal times, and right after the gap if its time is left out.
    What runs every hour or more often, and a line with seconds, follows the clocks.
    """

    text: str
    zone: str

    def __post_init__(self) -> None:
        """Refuse what is no cron line, or no zone."""
        _parse(self.text, datetime(2000, 1, 1, tzinfo=load_zone(self.zone)))

    def __str__(self) -> str:
        return f"{self.text} ({self.zone})"

    def ticks(self, after: float) -> Iterator[float]:
        """Yield the times after one."""
        for found in _parse(self.text, datetime.fromtimestamp(after, load_zone(self.zone))):
            # Before the second of two equal times it yields the first one, which has passed.
            if (at := found.timestamp()) > after:
                after = at
                yield at

    def next(self, after: float) -> float | None:
        """Return the first time after one; None when there is none in 50 years."""
        return _next_tick(self, after)

    def latest(self, after: float, until: float) -> float | None:
        """Return the last time after one and until another; None if there is none."""
        first = self.next(after)
        if first is None or first > until:
            return None
        for start in [*(until - span for span in SPANS), after]:
            if ticks := [*takewhile(lambda at: at <= until, self.ticks(start))]:
                return ticks[-1]
        return None

    def local(self, at: float) -> datetime:
        """Return a time as the clocks of the zone show it."""
        return datetime.fromtimestamp(at, load_zone(self.zone))


@lru_cache(maxsize=1000)
def _next_tick(line: CronLine, after: float) -> float | None:
    return next(line.ticks(after), None)


def _parse(text: str, start: datetime) -> Iterator[datetime]:
    try:
        from cronsim import CronSim, CronSimError
    except ModuleNotFoundError as error:
        raise CronMissing("cronsim is missing: `pip install 'moi_django[schedule]'`.") from error

    try:
        return CronSim(text, start)
    except (CronSimError, AttributeError) as error:  # the latter: no text
        raise InvalidJob(
            f"{text!r} is no cron line ({error}): give minute, hour, day of the month, month and "
            "day of the week, such as '0 3 * * *'."
        ) from error


def is_installed() -> bool:
    """Tell whether there is what reads cron lines."""
    return find_spec("cronsim") is not None


def load_zone(name: Any) -> ZoneInfo:
    """Return a time zone. Raises InvalidJob when there is none of this name."""
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, TypeError, OSError) as error:
        raise InvalidJob(f"{name!r} is no time zone: give one such as 'Europe/Berlin'.") from error
