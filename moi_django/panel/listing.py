"""Jobs of all users, page by page, the newest first: what an operator searches and filters."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from moi_django import access, owners
from moi_django.conf import conf
from moi_django.models import Info, State, timestamp
from moi_django.site_store import get_store
from moi_django.store.figures import Place

# Jobs on a page; the most that are looked at for one page, and for all of them.
ROWS, LOOKED_AT, ALL_LOOKED_AT = 50, 2_000, 20_000
# So many of them are held in memory at a time.
AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which jobs to list; what is empty does not matter."""

    # Part of a name, beginning of an id, id of a group above, or what the owner is called.
    text: str = ""
    state: str = ""
    context: str = ""
    # What the owner is called, or the id of the owner's group.
    owner: str = ""

    def __bool__(self) -> bool:
        return bool(self.text or self.state or self.context or self.owner)


@dataclass(frozen=True, slots=True)
class Row:
    """A job in the list."""

    info: Info
    owner: str
    # Seconds that it waited, or has waited so far, and ran; None when it has not been started.
    waited: float
    ran: float | None


@dataclass(slots=True)
class Listing:
    """A page of the list."""

    rows: list[Row] = field(default_factory=list)
    # From where to go on with older ones; None at the end.
    older: Place | None = None
    # How many jobs were looked at, in case that is why there are not more rows.
    looked_at: int = 0

    @property
    def is_cut(self) -> bool:
        """True when there may be more of them among older jobs than were looked at."""
        return self.older is not None and len(self.rows) < ROWS


def jobs(
    user: Any, wanted: Wanted = Wanted(), before: Place | None = None, count: int = ROWS
) -> Listing:
    """Return the newest jobs of all users that a user wants to see and may, older than a place.

    The user is None in a shell, where all may be seen. Raises StoreUnavailable or NotRunning.
    """
    if wanted.owner and _group(wanted.owner) is None:
        return Listing()
    fits = _test(user, wanted)
    known = get_store().get(wanted.text) if owners.is_uuid(wanted.text) else None
    if known is not None and not known.is_group:
        return Listing(rows([known] if fits(known) else []))
    index = _index(wanted)
    found, listing = list[Info](), Listing(older=before)
    while len(found) < count and listing.looked_at < LOOKED_AT:
        infos, place = get_store().recent(index, listing.older)
        listing.looked_at += len(infos)
        fitting = [info for info in infos if fits(info)]
        left = count - len(found)
        found += fitting[:left]
        listing.older = place_of(found[-1]) if len(fitting) > left else place
        if listing.older is None:
            break
    listing.rows = rows(found)
    return listing


def all_jobs(user: Any, wanted: Wanted) -> Iterator[Info]:
    """Yield the jobs that `jobs` lists page by page, among the newest ALL_LOOKED_AT."""
    place, looked_at = None, 0
    while looked_at < ALL_LOOKED_AT:
        found = jobs(user, wanted, place, AT_ONCE)
        yield from (row.info for row in found.rows)
        place, looked_at = found.older, looked_at + found.looked_at
        if place is None:
            break


def _index(wanted: Wanted) -> str:
    """Return the index in which to look: the one that has the fewest jobs besides."""
    if group := _group(wanted.owner):
        info = get_store().get(group)
        return get_store().all_key(info.owner if info else group)
    return get_store().state_key(wanted.state) if wanted.state else get_store().jobs_key


def place_of(info: Info) -> Place:
    """Return where a job is among all."""
    return Place(timestamp(info.date_created), info.id)


def _test(user: Any, wanted: Wanted) -> Callable[[Info], bool]:
    """Return what tells whether a job is to be listed."""
    text = wanted.text.casefold()
    # Of what is found in the text, and of the owner that is asked for.
    above, owner = _group(wanted.text), _group(wanted.owner)

    def says(info: Info) -> bool:
        return text in info.name.casefold() or info.id.startswith(text) or above in info.ancestors

    def fits(info: Info) -> bool:
        return (
            (not wanted.state or info.state == wanted.state)
            and (not wanted.context or info.context == wanted.context)
            and (not wanted.owner or owner in info.ancestors)
            and (not text or says(info))
            # Who comes here may see all jobs, but for what the site has to say about it.
            and (not conf.AUTHORIZE or user is None or access.allowed(user, "view", info))
        )

    return fits


def _group(text: str) -> str | None:
    """Return the id of the group that a text means, if any."""
    return owners.find_group_id(text) if text and text.isprintable() else None


def rows(infos: list[Info]) -> list[Row]:
    """Return jobs as the list shows them."""
    names, now = owners.display_names({info.owner for info in infos}), get_store().time()
    return [_row(info, names[info.owner], now) for info in infos]


def _row(info: Info, owner: str, now: float) -> Row:
    start, end = timestamp(info.date_start), timestamp(info.date_end) or now
    waited = max(0.0, (start or end) - timestamp(info.date_created))
    return Row(info, owner, waited, max(0.0, end - start) if start else None)


def state_of(text: str) -> str:
    """Return a text if it is the name of a state, else an empty one."""
    return text if text in set(State) else ""
