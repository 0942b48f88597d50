"""Who uses how much: the engine time of each owner in the last hours, and what runs now."""

from dataclasses import dataclass

from moi_django import owners
from moi_django.models import MAX_AMOUNT, Info
from moi_django.site_store import get_store
from moi_django.validation import number_of, text_of

# How many owners are listed, those who use most.
SHOWN = 10


@dataclass(frozen=True, slots=True)
class OwnerUsage:
    """What one owner has used and uses."""

    name: str
    # How many jobs run, and for how many seconds they have run so far.
    running: int
    ongoing: float
    # Seconds of engine time of attempts that were over in the last hours.
    used: float
    # True while this owner runs as many jobs as are allowed, and others wait for that.
    is_held: bool
    # Its part of what all have used and use, from 0 to 1.
    share: float

    @property
    def percent(self) -> float:
        """The same part in percent."""
        return 100 * self.share


@dataclass(frozen=True, slots=True)
class UsageReport:
    """Those who use most, and how many others there are."""

    owners: list[OwnerUsage]
    others: int


def report_usage(hours: int, running: list[Info]) -> UsageReport:
    """Return who has used most in the present hour and as many before, and by what runs."""
    present = get_store().connection.server_time()
    used = _used_seconds(int(present // 3600), hours)
    ongoing, numbers = dict[str, float](), dict[str, int]()
    for info in running:
        numbers[info.owner] = numbers.get(info.owner, 0) + 1
        ongoing[info.owner] = ongoing.get(info.owner, 0.0) + (info.ran_seconds(present) or 0.0)
    totals = {root: used.get(root, 0.0) + ongoing.get(root, 0.0) for root in {*used, *numbers}}
    first = sorted(totals, key=lambda root: (-totals[root], root))[:SHOWN]
    names, held, whole = owners.display_names(first), _held_owners(), sum(totals.values())
    listed = [
        OwnerUsage(
            name=names[root],
            running=numbers.get(root, 0),
            ongoing=ongoing.get(root, 0.0),
            used=used.get(root, 0.0),
            is_held=root in held,
            share=totals[root] / whole if whole else 0.0,
        )
        for root in first
    ]
    return UsageReport(listed, len(totals) - len(listed))


def _used_seconds(last: int, hours: int) -> dict[str, float]:
    """Return by root group the engine time of an hour since 1970 and of as many before."""
    connection, totals = get_store().connection, dict[str, float]()
    with connection.translated_errors():
        pipeline = connection.redis.pipeline(transaction=False)
        for hour in range(last - hours, last + 1):
            pipeline.hgetall(connection.keys.usage(hour))
        answers = pipeline.execute()
    for raw in answers:
        for root, milliseconds in raw.items():
            seconds = min(MAX_AMOUNT, number_of(milliseconds)) / 1000
            totals[text_of(root)] = totals.get(text_of(root), 0.0) + seconds
    return totals


def _held_owners() -> set[str]:
    queue = get_store().queue
    return {root for name in queue.names() for root in queue.held_owners(name)}
