"""Draw in a terminal what `moi top` and `moi watch` show, once or again and again. Needs rich."""

import io
import os
import shutil
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from moi_django.contrib.command_line.text_report import escape_terminal
from moi_django.contrib.live_terminal.overview import MINUTES, Overview, UserTree
from moi_django.contrib.monitoring.cluster_state import EngineCondition, EngineState
from moi_django.exceptions import MoiError
from moi_django.models import Info, State
from moi_django.presentation import progress_text
from moi_django.presentation.formatting import format_duration, format_percent, format_size

# Seconds between two pictures; columns and lines of a text that goes to no terminal.
REFRESH_INTERVAL, SIZE = 1.0, (120, 24)
# Minimum number of columns of a picture.
MIN_WIDTH = 20
# How much of a cell must be seen before another column is left out for it.
MIN_CELL_WIDTH = 20
# Columns between two cells.
COLUMN_GAP = 3

MARKS = {
    State.QUEUED: ("○", "dim"),
    State.RUNNING: ("●", "blue"),
    State.SUCCESS: ("✓", "green"),
    State.FAILED: ("✗", "red"),
    State.LOST: ("✗", "red"),
    State.CANCELLED: ("–", "dim"),  # noqa: RUF001 - a dash
}
STYLES = {
    EngineCondition.BUSY: "blue",
    EngineCondition.IDLE: "green",
    EngineCondition.UNKNOWN: "dim",
}
WORDS = {"success": "succeeded", "queued": "waiting"}

Facts = Overview | UserTree


def render_text(facts: Facts) -> str:
    """Return a picture as plain text."""
    out = io.StringIO()
    Console(file=out, width=_width(), force_terminal=False).print(render(facts))
    return "".join(f"{line.rstrip()}\n" for line in out.getvalue().splitlines())


def render_live(look: Callable[[], Facts], out: Any) -> None:
    """Draw what there is every second until Ctrl-C.

    Raises MoiError when it cannot be seen at first; later it says so and goes on.
    """
    with suppress(KeyboardInterrupt):
        picture = render(look())
        # Without a given width, it is that of the terminal, which may change.
        width = _width() if "COLUMNS" in os.environ else None
        with Live(picture, console=Console(file=out, width=width), auto_refresh=False) as live:
            while True:
                live.update(picture, refresh=True)
                time.sleep(REFRESH_INTERVAL)
                try:
                    picture = render(look())
                except MoiError as error:
                    picture = Text(escape_terminal(str(error)), "red")


def _width() -> int:
    return max(MIN_WIDTH, shutil.get_terminal_size(SIZE).columns)


def render(facts: Facts) -> RenderableType:
    """Return the picture of what was found."""
    return _render_overview(facts) if isinstance(facts, Overview) else _render_tree(facts)


# moi top


@dataclass(frozen=True, slots=True)
class _Column:
    head: str
    # Which one is left out first where there is no room for all: the highest; 0 stays.
    spare: int = 0
    is_number: bool = False


CONTEXTS = [
    _Column("context"),
    _Column("controller", 3),
    _Column("engines", 0, True),
    _Column("busy", 1, True),
    _Column("waiting", 0, True),
    _Column("longest wait", 2, True),
]
ENGINES = [
    _Column("engine"),
    _Column("state"),
    _Column("job"),
    _Column("for", 1, True),
    _Column("CPU", 3, True),
    _Column("memory", 2, True),
    _Column("load", 5, True),
    _Column("context", 4),
    _Column("last heard", 6, True),
]
JOBS = [
    _Column("job"),
    _Column("status"),
    _Column("owner", 1),
    _Column("context", 5),
    _Column("created (UTC)", 4),
    _Column("waited", 3, True),
    _Column("ran", 2, True),
]


class _Table:
    """A table that leaves columns out where there is no room for all."""

    def __init__(self, columns: list[_Column], rows: Iterable[Iterable[str | Text]]) -> None:
        self._columns = columns
        # As a Text: what stands in brackets is no markup.
        self._rows = [
            [cell if isinstance(cell, Text) else Text(escape_terminal(cell)) for cell in row]
            for row in rows
        ]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        shown = self._fitting(options.max_width)
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, expand=False)
        for index in shown:
            column = self._columns[index]
            justify: Any = "right" if column.is_number else "left"
            table.add_column(column.head, justify=justify, overflow="ellipsis", no_wrap=True)
        for row in self._rows:
            table.add_row(*(row[index] for index in shown))
        yield table

    def _fitting(self, width: int) -> list[int]:
        """Return which columns to show."""
        shown = list(range(len(self._columns)))
        while sum(self._needed(index) for index in shown) > width:
            least = max(shown, key=lambda index: self._columns[index].spare)
            if not self._columns[least].spare:
                break
            shown.remove(least)
        return shown

    def _needed(self, index: int) -> int:
        """Return the width of a column with what parts it from the next one."""
        cells = (cell_len(row[index].plain) for row in self._rows)
        widest = min(MIN_CELL_WIDTH, max(cells, default=0))
        return COLUMN_GAP + max(widest, cell_len(self._columns[index].head))


def _render_overview(found: Overview) -> RenderableType:
    clusters = found.clusters
    return Group(
        _state_counts(clusters.states, all_states=True),
        Text(
            f"longest wait {format_duration(clusters.longest)} · delayed {clusters.paused} · "
            f"ended in the last {MINUTES} min: {found.ended.total}, "
            f"on average after {format_duration(found.ended.mean_ran)}"
        ),
        _Table(
            CONTEXTS,
            (
                [
                    _marked(Text(escape_terminal(each.name)), "paused", each.paused),
                    Text("answers") if each.answers else Text("no answer", "red"),
                    *map(str, (each.engines, each.busy, each.waiting)),
                    format_duration(each.longest),
                ]
                for each in clusters.contexts
            ),
        ),
        _Table(ENGINES, map(_engine_cells, clusters.engines)),
        _Table(
            JOBS,
            (
                [
                    row.info.name,
                    _status_text(row.info),
                    row.owner,
                    row.info.context or "",
                    (row.info.date_created or "")[:16],
                    format_duration(row.waited),
                    format_duration(row.ran),
                ]
                for row in found.jobs
            ),
        ),
    )


def _marked(text: Text, word: str, is_so: object) -> Text:
    """Return a text with a word after it while that is so."""
    return Text.assemble(text, (f" {word}", "yellow")) if is_so else text


def _engine_cells(engine: EngineState) -> list[str | Text]:
    metrics, state = engine.metrics, Text(engine.condition, STYLES.get(engine.condition, "red"))
    for word, is_so in (
        ("drained", engine.drained),
        ("to be restarted", engine.restart),
        ("other code", engine.has_other_code),
        ("takes no job", engine.metrics.refusal),
    ):
        state = _marked(state, word, is_so)
    load = f"{metrics.load:.2f}/{metrics.cpus or '?'}" if metrics.load is not None else "—"
    return [
        f"{metrics.host}:{metrics.pid}" if metrics.host else engine.id[:8],
        state,
        engine.job.name if engine.job else "—",
        format_duration(engine.busy),
        format_percent(metrics.cpu),
        format_size(metrics.memory),
        load,
        engine.context,
        format_duration(engine.seen),
    ]


def _state_counts(totals: dict[str, int], all_states: bool = False) -> Text:
    """Return how many jobs are in which state."""
    shown = [state for state in State if all_states or totals.get(state)]
    return Text(" · ").join(
        Text(f"{totals.get(state, 0)} {WORDS.get(state, state)}", MARKS[state][1])
        for state in shown
    )


def _status_text(info: Info) -> Text:
    mark, style = MARKS.get(info.state or State.QUEUED, ("?", ""))
    return Text(f"{mark} {escape_terminal(info.status)}", style)


# moi watch


def _render_tree(found: UserTree) -> RenderableType:
    infos = found.tree_page.infos
    if not infos:
        return Text(f"{escape_terminal(found.name)}: no jobs")
    root = Tree(_group_line(infos[0], escape_terminal(found.name)))
    nodes = {infos[0].id: root}
    for info in infos[1:]:
        # What is linked, because its parent is elsewhere, stands at the top.
        above = nodes.get(info.parent or "", root)
        node = above.add(
            _group_line(info, escape_terminal(info.name)) if info.is_group else _job_line(info)
        )
        if info.is_group:
            nodes[info.id] = node
    for info in infos:
        left = (info.size or 0) - found.tree_page.shown_counts.get(info.id, 0)
        if info.is_group and left > 0:
            nodes[info.id].add(Text(f"… {left} more", "dim"))
    return root


def _group_line(info: Info, name: str) -> Text:
    return Text.assemble((name, "bold"), "  ", _state_counts(info.totals or {}))


def _job_line(info: Info) -> Text:
    mark, style = MARKS.get(info.state or State.QUEUED, ("?", ""))
    return Text.assemble(
        (mark, style),
        f" {escape_terminal(info.name)}: ",
        (f"{escape_terminal(info.status)} {_amount_text(info)}".rstrip(), style),
    )


def _amount_text(info: Info) -> str:
    """Return how far a job that runs is, as its row in a page says it."""
    if info.state is not State.RUNNING:
        return ""
    share, done = progress_text.percent(info), progress_text.count(info)
    if share is not None:
        return f"{share}%"
    return progress_text.amount(info) if done is None else f"{done} done"
