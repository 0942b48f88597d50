"""Groups read in pages, so that what is read of a tree of any size is bounded."""

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from moi_django.models import Info, timestamp
from moi_django.store.connection import Connection
from moi_django.store.job_records import CHUNK_SIZE, JobRecords, parse_info
from moi_django.store.tree import JobTree, parse_totals
from moi_django.validation import text_of


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Some of the members of a group, by age."""

    group: str
    start: int
    count: int
    # From the newest on, else from the oldest on.
    newest: bool = False


@dataclass(frozen=True, slots=True)
class TreePage:
    """A group and the first members of each group below it."""

    # Parents first; the members of a root group that was asked for from the newest on, others from
    # the oldest on.
    infos: list[Info] = field(default_factory=list)
    # Group -> how many of its members are there, from its first on.
    shown_counts: dict[str, int] = field(default_factory=dict)


class TreePages:
    """Jobs and groups page by page."""

    def __init__(self, connection: Connection, jobs: JobRecords, tree: JobTree) -> None:
        self._connection, self._jobs, self._tree = connection, jobs, tree
        self._keys, self._redis = connection.keys, connection.redis

    def first_page(self, id: str, wanted: Mapping[str, int], rows: int, limit: int) -> TreePage:
        """Return the beginning of a tree; an empty page when there is no such group or job.

        A root group comes with its newest members, any other with its oldest ones: as many as
        `wanted` says of it, else `rows`. No more than `limit` infos in all, those of the upper
        levels before others.
        """
        keys = {"info": self._keys.info(id)}
        given = [text for pair in wanted.items() for text in pair]
        args = {"root": id, "prefix": self._keys.prefix, "rows": rows, "limit": limit}
        while True:
            found = self._connection.run_script("tree_page", keys, args | {"wanted": given})
            page, unsound = _parse_page(found)
            for group, gone in unsound.items():
                self._tree.drop_members(group, gone)
                self._repair_order(group)
            if not unsound:
                return page

    def load(self, request: PageRequest, known: Container[str] = ()) -> list[Info]:
        """Return what of a request is not known; ids whose job has expired are taken out."""
        while True:
            ids = [id for id in self.load_ids(request) if id not in known]
            infos = self._jobs.get_many(ids)
            gone = [id for id, info in zip(ids, infos, strict=True) if info is None]
            self._tree.drop_members(request.group, gone)
            if not gone:
                return self._tree.with_counts([info for info in infos if info is not None])

    def walk(self, id: str) -> Iterator[Info]:
        """Yield a job, or a group and all below it, parents first, read a page at a time."""
        root = self._jobs.get(id)
        if root is None:
            return
        yield from self._tree.with_counts([root])
        met, level = {id}, [root.id] if root.is_group else []
        while level:
            groups, level = level, []
            for group in groups:
                for info in self._iterate_members(group):
                    if info.id not in met:
                        met.add(info.id)
                        yield info
                        level += [info.id] if info.is_group else []

    def _iterate_members(self, group: str) -> Iterator[Info]:
        start = 0
        while page := self.load(PageRequest(group, start, CHUNK_SIZE)):
            yield from page
            start += len(page)

    def load_ids(self, request: PageRequest) -> list[str]:
        """Return the ids in a request; all of the group with a count of 0."""
        order, last = self._keys.order(request.group), request.start + request.count - 1
        with self._connection.translated_errors():
            pipeline = self._redis.pipeline()
            pipeline.scard(self._keys.members(request.group))
            pipeline.zcard(order)
            pipeline.zrange(order, request.start, last, request.newest)
            size, ordered, ids = pipeline.execute()
        if size == ordered:
            return list(map(text_of, ids))
        self._repair_order(request.group)
        return self.load_ids(request)

    def _repair_order(self, group: str) -> None:
        """Bring the order of a group in line with its members, should others have changed them."""
        key, members = self._keys.order(group), self._tree.members(group)
        with self._connection.translated_errors():
            found: Any = self._redis.zrange(key, 0, -1)
        ordered = set(map(text_of, found))
        fresh = list(members - ordered)
        infos = self._jobs.get_many(fresh)
        ages = {
            id: timestamp(info.date_created) if info else 0.0
            for id, info in zip(fresh, infos, strict=True)
        }
        with self._connection.translated_errors():
            pipeline = self._redis.pipeline(transaction=False)
            if ages:
                pipeline.zadd(key, ages)
            if ordered - members:
                pipeline.zrem(key, *(ordered - members))
            pipeline.expire(key, self._connection.config.expire)
            pipeline.execute()


def _parse_page(found: list[Any]) -> tuple[TreePage, dict[str, list[str]]]:
    """Return what a script has read; and the groups to put in order first, with ids to take out."""
    page, unsound = TreePage(), dict[str, list[str]]()
    for holder, id, *known in found:
        group, text = text_of(holder), text_of(id)
        if group and group not in page.shown_counts:
            continue  # what holds it is no group
        info = parse_info(known[0], text) if known else None
        if info is None and (known or not text):
            # Without more than an empty id it says that the order has to be repaired.
            unsound.setdefault(group, []).extend([text] if known else [])
            continue
        if info is not None and info.is_group:
            totals = parse_totals(dict(zip(known[2][::2], known[2][1::2], strict=True)))
            info = replace(info, size=known[1], totals=totals)
            page.shown_counts[text] = 0
        page.infos.extend([info] if info else [])
        if group:
            page.shown_counts[group] += 1
    return (TreePage(), {}) if "" in unsound else (page, unsound)
