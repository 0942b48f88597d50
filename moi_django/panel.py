"""What the status div shows before its script runs: the rows of a tree, and how to go on live."""

import logging
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from django.urls import get_script_prefix

from moi_django import access, owners
from moi_django.addresses import link_of, patterns
from moi_django.conf import WEBSOCKET_PATH, conf
from moi_django.exceptions import MoiError
from moi_django.models import GROUP, JOB, Info, State
from moi_django.pager import Outline
from moi_django.site import store

logger = logging.getLogger(__name__)

# Groups nested deeper are shown at this depth: each level is a template within a template.
MAX_DEPTH = 20

# What the bar of a group shows, from its start to its end, and which states that is.
PARTS: dict[str, tuple[State, ...]] = {
    "success": (State.SUCCESS,),
    "failed": (State.FAILED, State.LOST),
    "cancelled": (State.CANCELLED,),
    "running": (State.RUNNING,),
    "queued": (State.QUEUED,),
}


@dataclass(frozen=True, slots=True)
class Part:
    """Jobs of a group that are in one of some states."""

    name: str
    count: int
    # Where it begins in the bar, which is as long as there are jobs.
    start: int


@dataclass(slots=True)
class Row:
    """A job or group in the div."""

    info: Info
    # Of a group, the oldest first.
    members: list["Row"] = field(default_factory=list)
    # Of a group, how many more members there are.
    left: int = 0

    @property
    def link(self) -> str | None:
        """Where it leads, or None when there is nothing to look at yet."""
        return link_of(self.info) if self.info.id else None

    @property
    def parts(self) -> list[Part]:
        """What the bar of a group shows."""
        totals = self.info.totals or {}
        counts = [sum(totals.get(state, 0) for state in states) for states in PARTS.values()]
        starts = accumulate(counts, initial=0)
        return [Part(*each) for each in zip(PARTS, counts, starts, strict=False)]

    @property
    def jobs(self) -> int:
        """How many jobs there are below a group."""
        return sum((self.info.totals or {}).values())

    @property
    def is_unfinished(self) -> bool:
        """True for a group with a job below that has no end."""
        totals = self.info.totals or {}
        return any(not State(state).finished for state in totals)


@dataclass(slots=True)
class Panel:
    """Everything that the templates of the div need."""

    # Id of the group whose tree is shown; empty when there is none to show.
    group: str = ""
    # Of a root group the newest first, of another the oldest.
    rows: list[Row] = field(default_factory=list)
    newest_first: bool = True
    # How many rows there are besides: older ones, or newer ones.
    older: int = 0
    may_change: bool = False
    # Why nothing is shown: "login", "unknown" or "unavailable".
    problem: str = ""

    @property
    def socket(self) -> str:
        """Address of the websocket."""
        return socket_address()

    @property
    def pages(self) -> dict[str, str]:
        """Addresses of our own pages, with a blank for the id."""
        return patterns()

    @property
    def blanks(self) -> dict[str, Row]:
        """An empty row of each type, from which the script makes new ones."""
        return {type: Row(Info(id="", name="", type=type, pubsub="")) for type in (JOB, GROUP)}


def socket_address() -> str:
    """Return the address of the websocket."""
    return conf.WEBSOCKET_URL or f"{get_script_prefix()}{WEBSOCKET_PATH}"


def panel(user: Any, group: Any = None, limit: int = 100) -> Panel:
    """Return what a user may see of a group, by default of everything that is the user's own.

    At most `limit` rows stand side by side at the top, the first. It never raises a MoiError: a
    page of the site does not break because Redis is away.
    """
    if group is None and user.is_anonymous and not conf.ANONYMOUS_USER:
        return Panel(problem="login")
    try:
        id = owners.group_id(user) if group is None else str(getattr(group, "id", group))
        outline = store().outline(id, {id: limit}, conf.PAGE_ROWS, conf.SNAPSHOT_LIMIT)
        return _filled(user, outline)
    except MoiError as error:
        logger.warning("Cannot show the jobs of a page: %s", error)
        return Panel(problem="unavailable")


def _filled(user: Any, outline: Outline) -> Panel:
    if not outline.infos or not access.allowed(user, "view", outline.infos[0]):
        return Panel(problem="unknown")
    root = outline.infos[0]
    return Panel(
        group=root.id,
        rows=_rows(outline),
        newest_first=root.is_root,
        older=_left(outline, root),
        may_change=access.allowed(user, "change", root),
    )


def _left(outline: Outline, info: Info) -> int:
    return max(0, (info.size or 0) - outline.covered.get(info.id, 0))


def _rows(outline: Outline) -> list[Row]:
    """Return the rows at the top of a tree that is given parents first; the rest is in them."""
    root, *below = outline.infos
    top: list[Row] = []
    # Where the members of a group go, and how deep that is.
    places = {root.id: (top, 0)}
    for info in below:
        # A visitor, whose home is elsewhere, stands at the top.
        place, depth = places.get(info.parent or "", (top, 0))
        row = Row(info, left=_left(outline, info))
        place.append(row)
        if info.is_group:
            places[info.id] = (row.members, depth + 1) if depth < MAX_DEPTH else (place, depth)
    return sorted(top, key=lambda row: row.info.date_created or "", reverse=root.is_root)
