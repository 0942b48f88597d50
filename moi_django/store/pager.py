"""Groups read in pages, so that what is read of a tree of any size is bounded."""

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from moi_django.models import Info, timestamp
from moi_django.store.reader import CHUNK, Reader, read


@dataclass(frozen=True, slots=True)
class Cut:
    """Some of the members of a group, by age."""

    group: str
    start: int
    count: int
    # From the newest on, else from the oldest on.
    newest: bool = False


@dataclass(frozen=True, slots=True)
class Outline:
    """A group and the first members of each group below it."""

    # Parents first; the members of a root group that was asked for from the newest on, others from
    # the oldest on.
    infos: list[Info] = field(default_factory=list)
    # Group -> how many of its members are there, from its first on.
    covered: dict[str, int] = field(default_factory=dict)


class Pager(Reader):
    """Jobs and groups in one Redis, under one key prefix, page by page."""

    def outline(self, id: str, wanted: Mapping[str, int], rows: int, limit: int) -> Outline:
        """Return the beginning of a tree; an empty outline when there is no such group or job.

        A root group comes with its newest members, any other with its oldest ones: as many as
        `wanted` says of it, else `rows`. No more than `limit` infos in all, those of the upper
        levels before others.
        """
        root = self.get(id)
        if root is None:
            return Outline()
        outline = Outline(self.counted([root]))
        level = [info for info in outline.infos if info.is_group]
        while level:
            outline.covered.update((group.id, 0) for group in level)
            left, cuts = limit - len(outline.infos), []
            for group in level:
                count = min(wanted.get(group.id, rows), group.size or 0, left)
                left -= count
                if count > 0:
                    cuts.append(Cut(group.id, 0, count, newest=group.is_root))
            level = self._next_pages(outline, cuts)
        return outline

    def _next_pages(self, outline: Outline, cuts: Sequence[Cut]) -> list[Info]:
        """Add some pages to an outline; return the groups in them."""
        known = {info.id for info in outline.infos}
        groups = []
        for cut, page in zip(cuts, self.pages(cuts), strict=True):
            outline.covered[cut.group] = len(page)
            fresh = [info for info in page if info.id not in known]
            known.update(info.id for info in fresh)
            outline.infos.extend(fresh)
            groups += [info for info in fresh if info.is_group]
        return groups

    def pages(self, cuts: Sequence[Cut]) -> list[list[Info]]:
        """Return each cut, in few round trips; ids whose job has expired are taken out."""
        pages: list[list[Info]] = [[] for _ in cuts]
        wanted = list(range(len(cuts)))
        while wanted:
            found = self._ids([cuts[index] for index in wanted])
            raws = iter(self.raw_many([id for ids in found for id in ids]))
            again = []
            for index, ids in zip(wanted, found, strict=True):
                infos = {id: read(next(raws)) for id in ids}
                gone = [id for id, info in infos.items() if info is None]
                self._prune(cuts[index].group, gone)
                pages[index] = [info for info in infos.values() if info is not None]
                again += [index] if gone else []
            wanted = again
        counted = iter(self.counted([info for page in pages for info in page]))
        return [[next(counted) for _ in page] for page in pages]

    def rest_of(self, cut: Cut, known: Container[str]) -> list[Info]:
        """Return what of a cut is not known."""
        [ids] = self._ids([cut])
        fresh = [id for id in ids if id not in known]
        infos = self.get_many(fresh)
        self._prune(cut.group, [id for id, info in zip(fresh, infos, strict=True) if info is None])
        return self.counted([info for info in infos if info is not None])

    def walk(self, id: str) -> Iterator[Info]:
        """Yield a job, or a group and all below it, parents first, read a page at a time."""
        root = self.get(id)
        if root is None:
            return
        yield from self.counted([root])
        met, level = {id}, [root.id] if root.is_group else []
        while level:
            groups, level = level, []
            for group in groups:
                for info in self._members_of(group):
                    if info.id not in met:
                        met.add(info.id)
                        yield info
                        level += [info.id] if info.is_group else []

    def _members_of(self, group: str) -> Iterator[Info]:
        start = 0
        while page := self.pages([Cut(group, start, CHUNK)])[0]:
            yield from page
            start += len(page)

    def _ids(self, cuts: Sequence[Cut]) -> list[list[str]]:
        """Return the ids in each cut."""
        with self.answers():
            pipeline = self.redis.pipeline()
            for cut in cuts:
                pipeline.scard(self.members_key(cut.group))
                pipeline.zcard(self.order_key(cut.group))
                pipeline.zrange(
                    self.order_key(cut.group), cut.start, cut.start + cut.count - 1, cut.newest
                )
            answers = pipeline.execute()
        found = []
        for cut, size, ordered, ids in zip(
            cuts, answers[::3], answers[1::3], answers[2::3], strict=True
        ):
            if size != ordered:
                self._order_anew(cut.group)
                found += self._ids([cut])
            else:
                found.append([id.decode() for id in ids])
        return found

    def _order_anew(self, group: str) -> None:
        """Bring the order of a group in line with its members, should others have changed them."""
        key, members = self.order_key(group), self.members(group)
        with self.answers():
            found: Any = self.redis.zrange(key, 0, -1)
        ordered = {id.decode() for id in found}
        fresh = list(members - ordered)
        infos = self.get_many(fresh)
        ages = {
            id: timestamp(info.date_created) if info else 0.0
            for id, info in zip(fresh, infos, strict=True)
        }
        with self.answers():
            pipeline = self.redis.pipeline(transaction=False)
            if ages:
                pipeline.zadd(key, ages)
            if ordered - members:
                pipeline.zrem(key, *(ordered - members))
            pipeline.expire(key, self.expire)
            pipeline.execute()
