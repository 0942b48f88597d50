"""What the status div shows before its script runs: the rows of a tree, and how to go on live."""

import logging
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any, ClassVar, cast

from django.urls import get_script_prefix

from moi_django import authorization, owners
from moi_django.conf import WEBSOCKET_PATH, conf
from moi_django.exceptions import MoiError
from moi_django.models import BAR_PARTS, GROUP, JOB, UNFINISHED, Info, State
from moi_django.pages.page_urls import page_url, page_url_patterns, row_link
from moi_django.presentation import progress_text
from moi_django.presentation.formatting import format_clock
from moi_django.site_store import get_store
from moi_django.store.tree_pages import TreePage

logger = logging.getLogger(__name__)

# Groups nested deeper are shown at this depth: each level is a template within a template.
MAX_DEPTH = 20

# What the script says of several things, and numbers of which every language has all its plurals.
UNITS = ("seconds", "minutes", "hours", "days")
COUNTING = [*BAR_PARTS, "all", "done", "newer", "cancel-jobs", "remove-jobs", *UNITS]
SAMPLES = [0, 1, 2, 3, 6, 11, 100]


@dataclass(frozen=True, slots=True)
class Part:
    """Jobs of a group that are in one of some states."""

    name: str
    count: int
    # Where it begins in the bar, which is as long as there are jobs.
    start: int


def _bar_parts(info: Info) -> list[Part]:
    """Return what the bar of a group shows."""
    counts = [info.count_below(states) for states in BAR_PARTS.values()]
    starts = accumulate(counts, initial=0)
    return [Part(*each) for each in zip(BAR_PARTS, counts, starts, strict=False)]


@dataclass(slots=True)
class Row:
    """A job or group in the div."""

    info: Info
    # Rows in a group, the oldest first.
    members: list["Row"] = field(default_factory=list)
    # How many more members a group has.
    left: int = 0
    # Whether its members are hidden until somebody opens it.
    is_closed: bool = False
    # Where it stands in its queue.
    place: str = ""

    @property
    def page(self) -> str | None:
        """Address of our page of it, if the site has that."""
        return page_url(self.info)

    @property
    def link(self) -> str | None:
        """Where it leads, or None when there is nothing to look at yet."""
        return row_link(self.info) if self.info.id else None

    @property
    def parts(self) -> list[Part]:
        """What the bar of a group shows."""
        return _bar_parts(self.info)

    @property
    def jobs(self) -> int:
        """How many jobs the bar of a group shows."""
        return sum(part.count for part in self.parts)

    @property
    def may_cancel(self) -> bool:
        """True for a job that can be cancelled, and for a group with one below."""
        return self.info.cancellable or self.info.count_below(UNFINISHED) > 0

    @property
    def may_retry(self) -> bool:
        """True for a job that can be retried, and for a group with one below that has failed."""
        return self.info.retryable or self.info.count_below(BAR_PARTS["failed"]) > 0

    # Whether a job runs and has said how far it is.
    shows_progress = property(lambda row: progress_text.is_shown(row.info))
    # How far one is in what it counts; one that counts nothing; one that knows no total.
    amount = property(lambda row: progress_text.amount(row.info))
    percent = property(lambda row: progress_text.percent(row.info))
    count = property(lambda row: progress_text.count(row.info))
    # How long a job will go on: a unit of time, and how many of it.
    remaining = property(lambda row: progress_text.remaining(row.info))

    @property
    def elapsed(self) -> str:
        """How long a job has run so far, or did run."""
        seconds = self.info.ran_seconds()
        return "" if seconds is None else format_clock(seconds)


@dataclass(slots=True)
class StatusDiv:
    """Everything that the templates of the div need."""

    # Id of the group whose tree is shown; empty when there is none to show.
    group: str = ""
    # The same group, with its `totals`.
    info: Info | None = None
    # A root group has the newest at its top, another one the oldest.
    rows: list[Row] = field(default_factory=list)
    newest_first: bool = True
    # How many rows there are besides: older ones, or newer ones.
    older: int = 0
    # Maximum number of rows side by side at the top.
    limit: int = 0
    # What the address of the page says of what to show, which is false for all of it; or None.
    filter: Any = None
    # True when not all jobs were looked at.
    is_cut: bool = False
    may_change: bool = False
    # Why nothing is shown: "login", "none" yet of a visitor, "unknown" or "unavailable".
    problem: str = ""

    # For the words of the script.
    states: ClassVar = list(State)
    counting: ClassVar = COUNTING
    samples: ClassVar = SAMPLES
    waits = property(lambda div: conf.translated_waits())

    @property
    def whole(self) -> Row | None:
        """The group itself, as a row has it."""
        return Row(self.info) if self.info else None

    @property
    def more(self) -> str | None:
        """Address at which more rows are shown where no script does it, if there is one."""
        rows = min(2 * self.limit, conf.SNAPSHOT_LIMIT)
        page = page_url(self.info) if self.info and self.older and rows > self.limit else None
        return f"{page}?moi_rows={rows}" if page else None

    @property
    def page_rows(self) -> int:
        """How many members a group has at most that is open from the first."""
        return conf.PAGE_ROWS

    @property
    def parts(self) -> dict[str, Part]:
        """How the jobs of the whole are doing, by the name of the part."""
        return {part.name: part for part in _bar_parts(self.info)} if self.info else {}

    @property
    def socket(self) -> str:
        """Address of the websocket."""
        url = websocket_url()
        return f"{url}{'&' if '?' in url else '?'}{self.filter.query}" if self.filter else url

    @property
    def pages(self) -> dict[str, str]:
        """Addresses of our own pages, with a blank for the id."""
        return page_url_patterns()

    @property
    def blanks(self) -> dict[str, Row]:
        """An empty row of each type, from which the script makes new ones."""
        return {type: Row(Info(id="", name="", type=type, pubsub="")) for type in (JOB, GROUP)}


def websocket_url() -> str:
    """Return the address of the websocket."""
    return conf.WEBSOCKET_URL or f"{get_script_prefix()}{WEBSOCKET_PATH}"


def build_status_div(user: Any, group: Any = None, limit: int = 50, view: Any = None) -> StatusDiv:
    """Return what a user may see of a group, by default of everything that is the user's own.

    At most `limit` rows stand side by side at the top, the first; `view` may choose others. No
    MoiError is raised: a page of the site does not break because Redis is away.
    """
    if group is None and owners.find_field(user) is None:
        return StatusDiv(problem="none" if hasattr(user, "moi_field") else "login")
    try:
        id = owners.group_id_of(user) if group is None else str(getattr(group, "id", group))
        limit = getattr(view, "rows", 0) or limit
        if view:
            return cast(StatusDiv, view.build_div(user, id, limit))
        args = (id, {id: limit}, conf.PAGE_ROWS, conf.SNAPSHOT_LIMIT)
        return replace(fill_div(user, get_store().pages.first_page(*args), limit), filter=view)
    except MoiError as error:
        logger.warning("Cannot show the jobs of a page: %s", error)
        return StatusDiv(problem="unavailable")


def fill_div(user: Any, tree_page: TreePage, limit: int) -> StatusDiv:
    """Return the rows of a tree, if the user may see them."""
    root = tree_page.infos[0] if tree_page.infos else None
    rights = root and authorization.allowed_each(user, ["view", "change"], root)
    if not (root and rights and rights[0]):
        return StatusDiv(problem="unknown")
    return StatusDiv(
        group=root.id,
        info=root,
        rows=_build_rows(tree_page),
        newest_first=root.is_root,
        older=_unshown_count(tree_page, root),
        limit=limit,
        may_change=rights[1],
    )


def _unshown_count(tree_page: TreePage, info: Info) -> int:
    return max(0, (info.size or 0) - tree_page.shown_counts.get(info.id, 0))


def _is_closed(info: Info, depth: int) -> bool:
    """Tell whether a group is closed at first: a deep one, or one with many members."""
    return info.is_group and (depth > 0 or (info.size or 0) > conf.PAGE_ROWS)


def _build_rows(tree_page: TreePage) -> list[Row]:
    """Return the rows at the top of a tree that is given parents first; the rest is in them."""
    root, *below = tree_page.infos
    top: list[Row] = []
    # Where the members of a group go, and how deep that is.
    lists = {root.id: (top, 0)}
    for info in below:
        # What is linked, because its parent is elsewhere, stands at the top.
        rows, depth = lists.get(info.parent or "", (top, 0))
        left, is_closed = _unshown_count(tree_page, info), _is_closed(info, depth)
        row = Row(info, left=left, is_closed=is_closed, place=conf.describe_place(info))
        rows.append(row)
        if info.is_group:
            lists[info.id] = (row.members, depth + 1) if depth < MAX_DEPTH else (rows, depth)
    return sorted(top, key=lambda row: row.info.date_created or "", reverse=root.is_root)
