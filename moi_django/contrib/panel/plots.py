"""What ended in the last hours as shapes that a template writes into an SVG, and as a table.

Numbers for attributes are texts already, so no language of a site gives them a decimal comma.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise

from moi_django.contrib.monitoring.statistics import Completed
from moi_django.models import BAR_PARTS
from moi_django.presentation.formatting import format_duration, format_localized

# Slots on the axis of time, and minutes between its marks: the least of which at most four fit in.
SLOTS, MARK_STEPS = 60, (15, 120, 360)
# Size of an SVG, and its margins around the curves.
WIDTH, HEIGHT = 480, 180
LEFT, RIGHT, TOP, BOTTOM = 84, 8, 12, 24
# Maximum width of the text of a mark on the axis of time.
TEXT = 60

# The parts of the bar of a group that have ended.
PARTS = {name: BAR_PARTS[name] for name in ("success", "failed", "cancelled")}


@dataclass(frozen=True, slots=True)
class Slot:
    """Some minutes, and what ended in them."""

    # Seconds since 1970.
    at: int
    ended: Completed

    @property
    def time(self) -> datetime:
        """When it begins."""
        return datetime.fromtimestamp(self.at, UTC)

    def count(self, part: str) -> int:
        """Return how many jobs ended in a way that a part of the plot stands for."""
        return sum(self.ended.jobs.get(state, 0) for state in PARTS[part])

    @property
    def counts(self) -> list[int]:
        """How many jobs ended in the ways that the plot shows."""
        return [self.count(part) for part in PARTS]


@dataclass(frozen=True, slots=True)
class Mark:
    """A text beside an axis."""

    x: str
    y: str
    # A mark on the axis of time has a time, any other a text.
    time: datetime | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle."""

    part: str
    x: str
    y: str
    width: str
    height: str


@dataclass(frozen=True, slots=True)
class Line:
    """A curve: its path, and its points, which also show those that stand alone."""

    part: str
    path: str
    points: list[tuple[str, str]]


@dataclass(slots=True)
class Plot:
    """An SVG."""

    marks: list[Mark] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    # y of the lines across.
    grid: list[str] = field(default_factory=list)
    view: str = f"0 0 {WIDTH} {HEIGHT}"
    left: str = str(LEFT)
    right: str = str(WIDTH - RIGHT)


@dataclass(frozen=True, slots=True)
class History:
    """What ended in the last hours."""

    hours: int
    # Minutes in a slot.
    step: int
    slots: list[Slot]
    throughput: Plot
    durations: Plot

    @property
    def total(self) -> Completed:
        """All of it."""
        total = Completed()
        for slot in self.slots:
            total.add(slot.ended)
        return total

    @property
    def filled(self) -> list[Slot]:
        """The slots in which something ended, the newest first."""
        return [slot for slot in reversed(self.slots) if slot.ended.total]


def minutes_to_read(hours: int, now: float) -> int:
    """Return how many minutes to read, so that slots begin at whole multiples of their length."""
    step = hours
    return (SLOTS - 1) * step + int(now // 60) % step + 1


def build_history(hours: int, minutes: Sequence[tuple[int, Completed]]) -> History:
    """Put what ended in each minute into slots of `hours` minutes.

    `minutes` are as `Statistics.completed_by_minute` returns them.
    """
    step = hours
    slots = dict[int, Slot]()
    for minute, ended in minutes:
        at = minute // step * step * 60
        slots.setdefault(at, Slot(at, Completed())).ended.add(ended)
    shown = list(slots.values())[-SLOTS:]
    return History(hours, step, shown, _throughput(shown), _durations(shown))


def _throughput(slots: Sequence[Slot]) -> Plot:
    highest = _round_up(max((slot.ended.total for slot in slots), default=0))
    plot = _axes(slots, highest, lambda value: format_localized(value, 0))
    width = _width(slots)
    for index, slot in enumerate(slots):
        x, below = _n(_x(index, slots) + width * 0.1), 0
        for part in PARTS:
            if count := slot.count(part):
                foot, below = _y(below, highest), below + count
                y = _y(below, highest)
                plot.bars.append(Bar(part, x, _n(y), _n(width * 0.8), _n(foot - y)))
    return plot


def _durations(slots: Sequence[Slot]) -> Plot:
    values = {
        "ran": [slot.ended.mean_ran for slot in slots],
        "waited": [slot.ended.mean_waited for slot in slots],
    }
    highest = _round_up(max((value or 0 for each in values.values() for value in each), default=0))
    plot = _axes(slots, highest, lambda value: format_duration(value, format_localized))
    for part, series in values.items():
        points = [
            (index, _n(_x(index + 0.5, slots)), _n(_y(value, highest)))
            for index, value in enumerate(series)
            if value is not None
        ]
        plot.lines.append(Line(part, _path(points), [(x, y) for _, x, y in points]))
    return plot


def _path(points: Sequence[tuple[int, str, str]]) -> str:
    """Return a path through points that follow each other; where one is missing it begins anew."""
    steps = [f"M{x} {y}" for _, x, y in points[:1]]
    for (before, _, _), (index, x, y) in pairwise(points):
        steps.append(f"{'L' if index == before + 1 else 'M'}{x} {y}")
    return "".join(steps)


def _axes(slots: Sequence[Slot], highest: float, write: Callable[[float], str]) -> Plot:
    plot = Plot()
    for value in (0, highest / 2, highest):
        y = _y(value, highest)
        plot.grid.append(_n(y))
        plot.marks.append(Mark(_n(LEFT - 6), _n(y + 4), text=write(value)))
    plot.marks += _times(slots)
    return plot


def _times(slots: Sequence[Slot]) -> list[Mark]:
    """Return marks at whole quarters or hours that have room for their text."""
    whole = (slots[-1].at - slots[0].at) / 60 if slots else 0
    step = next(
        minutes for minutes in MARK_STEPS if minutes == MARK_STEPS[-1] or minutes * 4 >= whole
    )
    places = [(_x(index, slots), slot) for index, slot in enumerate(slots)]
    return [
        Mark(_n(x), _n(HEIGHT - 6), time=slot.time)
        for x, slot in places
        if slot.at % (step * 60) == 0 and x <= WIDTH - TEXT / 2
    ]


def _round_up(value: float) -> float:
    """Return a number of one digit, and even, that is no smaller and at least 2."""
    power = 1.0
    while power * 10 < value:
        power *= 10
    return next(step * power for step in (2, 4, 6, 8, 10) if step * power >= value)


def _width(slots: Sequence[Slot]) -> float:
    return (WIDTH - LEFT - RIGHT) / max(1, len(slots))


def _x(index: float, slots: Sequence[Slot]) -> float:
    return LEFT + index * _width(slots)


def _y(value: float, highest: float) -> float:
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / highest)


def _n(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")
