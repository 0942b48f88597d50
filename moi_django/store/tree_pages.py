"""Groups read in pages, so that what is read of a tree of any size is bounded."""

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from moi_django.models import Info, timestamp
from moi_django.store.connection import Connection
from moi_django.store.job_records import CHUNK_SIZE, JobRecords, parse_info
from moi_django.store.tree import JobTree
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
        root = self._jobs.get(id)
        if root is None:
            return TreePage()
        page = TreePage(self._tree.with_counts([root]))
        level = [info for info in page.infos if info.is_group]
        while level:
            page.shown_counts.update((group.id, 0) for group in level)
            left, requests = limit - len(page.infos), []
            for group in level:
                count = min(wanted.get(group.id, rows), group.size or 0, left)
                left -= count
                if count > 0:
                    requests.append(PageRequest(group.id, 0, count, newest=group.is_root))
            level = self._load_next_level(page, requests)
        return page

    def _load_next_level(self, page: TreePage, requests: Sequence[PageRequest]) -> list[Info]:
        """Add some pages to a tree page; return the groups in them."""
        known = {info.id for info in page.infos}
        groups = []
        for request, members in zip(requests, self.load(requests), strict=True):
            page.shown_counts[request.group] = len(members)
            fresh = [info for info in members if info.id not in known]
            known.update(info.id for info in fresh)
            page.infos.extend(fresh)
            groups += [info for info in fresh if info.is_group]
        return groups

    def load(self, requests: Sequence[PageRequest]) -> list[list[Info]]:
        """Return each request, in few round trips; ids whose job has expired are taken out."""
        pages: list[list[Info]] = [[] for _ in requests]
        wanted = list(range(len(requests)))
        while wanted:
            found = self.load_ids([requests[index] for index in wanted])
            raws = iter(self._jobs.get_raw_many([id for ids in found for id in ids]))
            again = []
            for index, ids in zip(wanted, found, strict=True):
                infos = {id: parse_info(next(raws), id) for id in ids}
                gone = [id for id, info in infos.items() if info is None]
                self._tree.drop_members(requests[index].group, gone)
                pages[index] = [info for info in infos.values() if info is not None]
                again += [index] if gone else []
            wanted = again
        counted = iter(self._tree.with_counts([info for page in pages for info in page]))
        return [[next(counted) for _ in page] for page in pages]

    def load_unknown(self, request: PageRequest, known: Container[str]) -> list[Info]:
        """Return what of a request is not known."""
        [ids] = self.load_ids([request])
        fresh = [id for id in ids if id not in known]
        infos = self._jobs.get_many(fresh)
        gone = [id for id, info in zip(fresh, infos, strict=True) if info is None]
        self._tree.drop_members(request.group, gone)
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
        while page := self.load([PageRequest(group, start, CHUNK_SIZE)])[0]:
            yield from page
            start += len(page)

    def load_ids(self, requests: Sequence[PageRequest]) -> list[list[str]]:
        """Return the ids in each request; all of the group with a count of 0."""
        with self._connection.translated_errors():
            pipeline = self._redis.pipeline()
            for request in requests:
                pipeline.scard(self._keys.members(request.group))
                pipeline.zcard(self._keys.order(request.group))
                last = request.start + request.count - 1
                pipeline.zrange(
                    self._keys.order(request.group), request.start, last, request.newest
                )
            answers = pipeline.execute()
        found = []
        for request, size, ordered, ids in zip(
            requests, answers[::3], answers[1::3], answers[2::3], strict=True
        ):
            if size != ordered:
                self._repair_order(request.group)
                found += self.load_ids([request])
            else:
                found.append(list(map(text_of, ids)))
        return found

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
