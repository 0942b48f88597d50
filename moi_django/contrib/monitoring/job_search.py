"""Jobs of all users, page by page, the newest first: what an operator searches and filters."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from moi_django import authorization, owners
from moi_django.conf import conf
from moi_django.contrib.monitoring import owner_names
from moi_django.contrib.monitoring.job_index import IndexPosition, JobIndex
from moi_django.models import BAR_PARTS, Info, State
from moi_django.site_store import get_store
from moi_django.validation import is_uuid, unfit_character

# Jobs on a page; the most that are looked at for one page, and for all of them.
PAGE_SIZE, MAX_SCANNED, MAX_SCANNED_IN_ALL = 50, 2_000, 20_000
# How many of them are held in memory at a time.
BATCH_SIZE = 200
# What queued jobs can be filtered by besides: they are to begin later, or wait for other jobs.
DELAYED, BLOCKED = "delayed", "blocked"


@dataclass(frozen=True, slots=True)
class JobQuery:
    """Which jobs to list; what is empty does not matter."""

    # Part of a name, beginning of an id, id of a group above, or what the owner is called.
    text: str = ""
    # A state; those that failed include the lost ones. Or DELAYED or BLOCKED.
    state: str = ""
    context: str = ""
    # What the owner is called, or the id of the owner's group.
    owner: str = ""

    def __bool__(self) -> bool:
        return bool(self.text or self.state or self.context or self.owner)

    @property
    def states(self) -> tuple[State, ...]:
        """The states of the jobs that it means."""
        if self.state in (DELAYED, BLOCKED):
            return (State.QUEUED,)
        return BAR_PARTS.get(self.state) or tuple(each for each in State if each == self.state)


@dataclass(frozen=True, slots=True)
class JobSummary:
    """A job in the list."""

    info: Info
    owner: str
    # Seconds that it waited, or has waited so far, and ran; None when it has not been started.
    waited: float
    ran: float | None


@dataclass(slots=True)
class SearchPage:
    """A page of the list."""

    rows: list[JobSummary] = field(default_factory=list)
    # From where to go on with older ones; None at the end.
    older: IndexPosition | None = None
    # How many jobs were looked at, in case that is why there are not more rows.
    looked_at: int = 0

    @property
    def is_cut(self) -> bool:
        """True when there may be more of them among older jobs than were looked at."""
        return self.older is not None and len(self.rows) < PAGE_SIZE


def search_jobs(
    user: Any,
    query: JobQuery = JobQuery(),
    before: IndexPosition | None = None,
    count: int = PAGE_SIZE,
) -> SearchPage:
    """Return the newest jobs of all users that a user wants to see and may, older than a place.

    The user is None in a shell, where all may be seen. Raises StoreUnavailable or NotRunning.
    """
    if query.owner and _find_group_id(query.owner) is None:
        return SearchPage()
    index, choose = JobIndex(get_store().connection, get_store().jobs), _chooser(user, query)
    known = get_store().jobs.get(query.text) if is_uuid(query.text) else None
    if known is not None and not known.is_group:
        return SearchPage(summarize_jobs(choose(index, [known])))
    keys = _index_keys(query)
    found, page = list[Info](), SearchPage(older=before)
    while len(found) < count and page.looked_at < MAX_SCANNED:
        infos, place = index.newest(keys, page.older)
        page.looked_at += len(infos)
        fitting = choose(index, infos)
        left = count - len(found)
        found += fitting[:left]
        page.older = IndexPosition.of_job(found[-1]) if len(fitting) > left else place
        if page.older is None:
            break
    page.rows = summarize_jobs(found)
    return page


def iterate_jobs(user: Any, query: JobQuery) -> Iterator[Info]:
    """Yield the jobs that `search_jobs` lists page by page, among the newest MAX_SCANNED_IN_ALL."""
    place, looked_at = None, 0
    while looked_at < MAX_SCANNED_IN_ALL:
        found = search_jobs(user, query, place, BATCH_SIZE)
        yield from (row.info for row in found.rows)
        place, looked_at = found.older, looked_at + found.looked_at
        if place is None:
            break


def _index_keys(query: JobQuery) -> list[str]:
    """Return the indices in which to look: those that have the fewest jobs besides."""
    keys = get_store().keys
    if group := _find_group_id(query.owner):
        info = get_store().jobs.get(group)
        return [keys.owner_jobs(info.owner if info else group)]
    return [keys.jobs_in_state(state) for state in query.states] or [keys.jobs]


def _chooser(user: Any, query: JobQuery) -> Callable[[JobIndex, list[Info]], list[Info]]:
    """Return what tells which of some jobs are to be listed."""
    fits = _matcher(user, query)

    def choose(index: JobIndex, infos: list[Info]) -> list[Info]:
        keys, fitting = get_store().keys, [info for info in infos if fits(info)]
        zset = {DELAYED: keys.delayed, BLOCKED: keys.blocked}.get(query.state)
        return index.among(zset, fitting) if zset else fitting

    return choose


def _matcher(user: Any, query: JobQuery) -> Callable[[Info], bool]:
    """Return what tells whether a job is to be listed."""
    text = query.text.casefold()
    # The groups that the text and the owner of the query mean, if any.
    above, owner = _find_group_id(query.text), _find_group_id(query.owner)

    def says(info: Info) -> bool:
        return text in info.name.casefold() or info.id.startswith(text) or above in info.ancestors

    def fits(info: Info) -> bool:
        return (
            (not query.state or info.counted_as in query.states)
            and (not query.context or info.context == query.context)
            and (not query.owner or owner in info.ancestors)
            and (not text or says(info))
            # Who comes here may see all jobs, but for what the site has to say about it.
            and (not conf.AUTHORIZE or user is None or authorization.allowed(user, "view", info))
        )

    return fits


def _find_group_id(text: str) -> str | None:
    """Return the id of the group that a text means, if any."""
    return owner_names.find_group_id(text) if text and not unfit_character(text) else None


def summarize_jobs(infos: list[Info]) -> list[JobSummary]:
    """Return jobs as the list shows them."""
    names = owners.display_names({info.owner for info in infos})
    present = get_store().connection.server_time()
    return [
        JobSummary(info, names[info.owner], info.waited_seconds(present), info.ran_seconds(present))
        for info in infos
    ]


def parse_state(text: str) -> str:
    """Return a text if it is what jobs can be filtered by, else an empty one."""
    return text if text in {*State, DELAYED, BLOCKED} else ""
