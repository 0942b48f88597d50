"""What the status div shows before its script runs: the rows of a tree, and how to go on live."""

import logging
from dataclasses import dataclass, field
from typing import Any

from django.urls import get_script_prefix

from moi_django import access, owners
from moi_django.conf import WEBSOCKET_PATH, conf
from moi_django.exceptions import MoiError
from moi_django.models import GROUP, JOB, Info
from moi_django.site import store

logger = logging.getLogger(__name__)

# Groups nested deeper are shown at this depth: each level is a template within a template.
MAX_DEPTH = 20


@dataclass(slots=True)
class Row:
    """A job or group in the div."""

    info: Info
    # Of a group, the oldest first.
    members: list["Row"] = field(default_factory=list)

    @property
    def link(self) -> str | None:
        """Where it leads: a job only when there is a result to look at."""
        return self.info.link if self.info.is_group or self.info.finished else None


@dataclass(slots=True)
class Panel:
    """Everything that the templates of the div need."""

    # Id of the group whose tree is shown; empty when there is none to show.
    group: str = ""
    # The newest first.
    rows: list[Row] = field(default_factory=list)
    # How many older rows there are besides.
    older: int = 0
    may_change: bool = False
    # Why nothing is shown: "login", "unknown" or "unavailable".
    problem: str = ""

    @property
    def socket(self) -> str:
        """Address of the websocket."""
        return conf.WEBSOCKET_URL or f"{get_script_prefix()}{WEBSOCKET_PATH}"

    @property
    def blanks(self) -> dict[str, Row]:
        """An empty row of each type, from which the script makes new ones."""
        return {type: Row(Info(id="", name="", type=type, pubsub="")) for type in (JOB, GROUP)}


def panel(user: Any, group: Any = None, limit: int = 100) -> Panel:
    """Return what a user may see of a group, by default of everything that is the user's own.

    At most `limit` rows stand side by side at the top, the newest. It never raises a MoiError: a
    page of the site does not break because Redis is away.
    """
    if group is None and user.is_anonymous and not conf.ANONYMOUS_USER:
        return Panel(problem="login")
    try:
        id = owners.group_id(user) if group is None else str(getattr(group, "id", group))
        return _filled(user, store().tree(id), limit)
    except MoiError as error:
        logger.warning("Cannot show the jobs of a page: %s", error)
        return Panel(problem="unavailable")


def _filled(user: Any, infos: list[Info], limit: int) -> Panel:
    if not infos or not access.allowed(user, "view", infos[0]):
        return Panel(problem="unknown")
    root, rows = infos[0], _rows(infos)
    return Panel(
        group=root.id,
        rows=rows[::-1][:limit],
        older=max(0, len(rows) - limit),
        may_change=access.allowed(user, "change", root),
    )


def _rows(infos: list[Info]) -> list[Row]:
    """Return the rows at the top of a tree that is given parents first; the rest is in them."""
    top: list[Row] = []
    # Where the members of a group go, and how deep that is.
    places = {infos[0].id: (top, 0)}
    for info in infos[1:]:
        # A visitor, whose home is elsewhere, stands at the top.
        place, depth = places.get(info.parent or "", (top, 0))
        row = Row(info)
        place.append(row)
        if info.is_group:
            places[info.id] = (row.members, depth + 1) if depth < MAX_DEPTH else (place, depth)
    return top
