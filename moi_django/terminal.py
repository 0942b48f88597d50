"""Draw in a terminal what `moi top` and `moi watch` show, once or again and again. Needs rich."""

import io
import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from moi_django.exceptions import MoiError
from moi_django.fleet import Condition, Engine
from moi_django.measures import duration, percent, size
from moi_django.models import Info, State
from moi_django.overview import MINUTES, Branch, Overview
from moi_django.transcript import plain

# Seconds between two pictures; columns of a text that goes to no terminal.
EVERY, COLUMNS = 1.0, "120"

MARKS = {
    State.QUEUED: ("○", "dim"),
    State.RUNNING: ("●", "blue"),
    State.SUCCESS: ("✓", "green"),
    State.FAILED: ("✗", "red"),
    State.LOST: ("✗", "red"),
    State.CANCELLED: ("–", "dim"),  # noqa: RUF001 - a dash
}
STYLES = {Condition.BUSY: "blue", Condition.IDLE: "green", Condition.UNKNOWN: "dim"}
WORDS = {"success": "succeeded", "queued": "waiting"}

Facts = Overview | Branch


def text(facts: Facts) -> str:
    """Return a picture as plain text."""
    out = io.StringIO()
    width = int(os.environ.get("COLUMNS", COLUMNS))
    Console(file=out, width=width, force_terminal=False).print(draw(facts))
    return "".join(f"{line.rstrip()}\n" for line in out.getvalue().splitlines())


def follow(look: Callable[[], Facts], out: Any) -> None:
    """Draw what there is every second until Ctrl-C.

    Raises MoiError when it cannot be seen at first; later it says so and goes on.
    """
    with suppress(KeyboardInterrupt):
        picture = draw(look())
        with Live(picture, console=Console(file=out), auto_refresh=False) as live:
            while True:
                live.update(picture, refresh=True)
                time.sleep(EVERY)
                try:
                    picture = draw(look())
                except MoiError as error:
                    picture = Text(plain(str(error)), "red")


def draw(facts: Facts) -> RenderableType:
    """Return the picture of what was found."""
    return _overview(facts) if isinstance(facts, Overview) else _branch(facts)


# moi top


def _overview(found: Overview) -> RenderableType:
    fleet = found.fleet
    return Group(
        _counts(fleet.states, all_states=True),
        Text(
            f"longest wait {duration(fleet.longest)} · paused {fleet.paused} · ended in the last "
            f"{MINUTES} min: {found.ended.total}, on average after {duration(found.ended.mean_ran)}"
        ),
        _table(
            ["context", "controller", ">engines", ">busy", ">waiting", ">longest wait"],
            (
                [
                    each.name,
                    Text("answers") if each.answers else Text("no answer", "red"),
                    *map(str, (each.engines, each.busy, each.waiting)),
                    duration(each.longest),
                ]
                for each in fleet.contexts
            ),
        ),
        _table(
            [
                *("engine", "state", "job", ">for", ">CPU", ">memory", ">load", "context"),
                ">last heard",
            ],
            map(_engine, fleet.engines),
        ),
        _table(
            ["job", "status", "owner", "context", "created (UTC)", ">waited", ">ran"],
            (
                [
                    row.info.name,
                    _status(row.info),
                    row.owner,
                    row.info.context or "",
                    (row.info.date_created or "")[:16],
                    duration(row.waited),
                    duration(row.ran),
                ]
                for row in found.jobs
            ),
        ),
    )


def _engine(engine: Engine) -> list[str | Text]:
    vitals = engine.vitals
    load = f"{vitals.load:.2f}/{vitals.cpus or '?'}" if vitals.load is not None else "—"
    return [
        f"{vitals.host}:{vitals.pid}" if vitals.host else engine.id[:8],
        Text(engine.condition, STYLES.get(engine.condition, "red")),
        engine.job.name if engine.job else "—",
        duration(engine.busy),
        percent(vitals.cpu),
        size(vitals.memory),
        load,
        engine.context,
        duration(engine.seen),
    ]


def _table(heads: Iterable[str], rows: Iterable[Iterable[str | Text]]) -> Table:
    """Return a table; a head that begins with `>` has numbers below it."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, expand=False)
    for head in heads:
        justify: Any = "right" if head.startswith(">") else "left"
        table.add_column(head.lstrip(">"), justify=justify, overflow="ellipsis", no_wrap=True)
    for row in rows:
        # As a Text: what stands in brackets is no markup.
        table.add_row(*(cell if isinstance(cell, Text) else Text(plain(cell)) for cell in row))
    return table


def _counts(totals: dict[str, int], all_states: bool = False) -> Text:
    """Return how many jobs are in which state."""
    shown = [state for state in State if all_states or totals.get(state)]
    return Text(" · ").join(
        Text(f"{totals.get(state, 0)} {WORDS.get(state, state)}", MARKS[state][1])
        for state in shown
    )


def _status(info: Info) -> Text:
    mark, style = MARKS.get(info.state or State.QUEUED, ("?", ""))
    return Text(f"{mark} {plain(info.status)}", style)


# moi watch


def _branch(found: Branch) -> RenderableType:
    infos = found.outline.infos
    if not infos:
        return Text(f"{plain(found.name)}: no jobs")
    root = Tree(_group(infos[0], plain(found.name)))
    nodes = {infos[0].id: root}
    for info in infos[1:]:
        # A visitor, whose home is elsewhere, stands at the top.
        above = nodes.get(info.parent or "", root)
        node = above.add(_group(info, plain(info.name)) if info.is_group else _job(info))
        if info.is_group:
            nodes[info.id] = node
    for info in infos:
        left = (info.size or 0) - found.outline.covered.get(info.id, 0)
        if info.is_group and left > 0:
            nodes[info.id].add(Text(f"… {left} more", "dim"))
    return root


def _group(info: Info, name: str) -> Text:
    return Text.assemble((name, "bold"), "  ", _counts(info.totals or {}))


def _job(info: Info) -> Text:
    mark, style = MARKS.get(info.state or State.QUEUED, ("?", ""))
    done = f" {info.progress:.0%}" if info.progress is not None and not info.finished else ""
    return Text.assemble(
        (mark, style), f" {plain(info.name)}: ", (plain(info.status) + done, style)
    )
