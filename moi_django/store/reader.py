"""What Redis holds about jobs and groups, read as a whole or as a tree."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from moi_django.models import Info
from moi_django.store.queues import Queues

# So many are read at once; each may have a result of RESULT_LIMIT bytes.
CHUNK = 200


class Reader(Queues):
    """Jobs and groups in one Redis, under one key prefix, to be looked at."""

    def get(self, id: str) -> Info | None:
        """Return what is known about an id, or None."""
        return self.get_many([id])[0]

    def get_many(self, ids: Sequence[str]) -> list[Info | None]:
        """Return what is known about each id, None where nothing is."""
        return [read(raw) for raw in self.raw_many(ids)]

    def raw_many(self, ids: Sequence[str]) -> list[bytes | None]:
        """Return the JSON that is stored for each id, None where nothing is."""
        found: list[bytes | None] = []
        with self.answers():
            for start in range(0, len(ids), CHUNK):
                keys = [self.key(id) for id in ids[start : start + CHUNK]]
                found += self.redis.mget(keys)  # type: ignore[arg-type]
        return found

    def members(self, group: str) -> set[str]:
        """Return the ids of the jobs and groups directly in a group."""
        return self.members_many([group])[0]

    def members_many(self, groups: Sequence[str]) -> list[set[str]]:
        """Return the ids directly in each group, in one round trip for many groups."""
        found: list[set[str]] = []
        with self.answers():
            for start in range(0, len(groups), CHUNK):
                pipeline = self.redis.pipeline(transaction=False)
                for group in groups[start : start + CHUNK]:
                    pipeline.smembers(self.members_key(group))
                found += [{id.decode() for id in ids} for ids in pipeline.execute()]
        return found

    def holds_many(self, pairs: Sequence[tuple[str, str]]) -> list[bool]:
        """Tell for each (group, id) whether the group has that member."""
        with self.answers():
            pipeline = self.redis.pipeline(transaction=False)
            for group, id in pairs:
                pipeline.sismember(self.members_key(group), id)
            return [bool(held) for held in pipeline.execute()]

    def size(self, group: str) -> int:
        """Return how many jobs and groups are directly in a group."""
        with self.answers():
            size: Any = self.redis.scard(self.members_key(group))
        return size

    def totals(self, group: str) -> dict[str, int]:
        """Return how many jobs below a group are in each state, those that expired included."""
        with self.answers():
            return _totals(self.redis.hgetall(self.totals_key(group)))

    def counted(self, infos: Sequence[Info]) -> list[Info]:
        """Return infos, those of groups with their `size` and `totals`."""
        groups = [info.id for info in infos if info.is_group]
        with self.answers():
            pipeline = self.redis.pipeline(transaction=False)
            for group in groups:
                pipeline.scard(self.members_key(group))
                pipeline.hgetall(self.totals_key(group))
            answers = iter(pipeline.execute())
        counts = {
            group: {"size": next(answers), "totals": _totals(next(answers))} for group in groups
        }
        return [replace(info, **counts[info.id]) if info.is_group else info for info in infos]

    def tree(self, group: str) -> list[Info]:
        """Return a group and everything below it: parents first, siblings from the oldest on.

        An id that is met twice, as in a cycle, appears once. Ids whose job has expired are taken
        out of their group. Returns an empty list when there is no such group.
        """
        root = self.get(group)
        if root is None:
            return []
        infos, children = {group: root}, dict[str, list[Info]]()
        level = [group]
        while level:
            level = self._next_level(level, infos, children)
        return list(_depth_first(root, children))

    def _next_level(
        self, level: list[str], infos: dict[str, Info], children: dict[str, list[Info]]
    ) -> list[str]:
        """Read the members of some groups; return the groups among those not met before."""
        below: list[str] = []
        for group, ids in zip(level, self.members_many(level), strict=True):
            fresh = [id for id in ids if id not in infos]
            raws = self.raw_many(fresh)
            self._prune(group, [id for id, raw in zip(fresh, raws, strict=True) if raw is None])
            present = [info for info in map(read, raws) if info is not None]
            infos.update((info.id, info) for info in present)
            children[group] = sorted(present, key=lambda info: (info.date_created or "", info.id))
            below += [info.id for info in present if info.is_group]
        return below

    def _prune(self, group: str, ids: list[str]) -> None:
        if ids:
            with self.answers():
                pipeline = self.redis.pipeline(transaction=False)
                pipeline.srem(self.members_key(group), *ids)
                pipeline.zrem(self.order_key(group), *ids)
                pipeline.execute()

    def inhabitants(self, root: Info) -> tuple[list[Info], list[tuple[str, str]]]:
        """Return what lives at and below a node, parents first, and (group, id) of visitors."""
        homes, visits, level = [root], list[tuple[str, str]](), [root]
        seen = {root.id}  # a foreign program may have written a cycle
        while level:
            groups = [info.id for info in level if info.is_group]
            level = []
            for group, ids in zip(groups, self.members_many(groups), strict=True):
                for id, info in zip(ids, self.get_many(list(ids)), strict=True):
                    if info is not None and info.parent == group and id not in seen:
                        seen.add(id)
                        level.append(info)
                    else:
                        visits.append((group, id))
            homes += level
        return homes, visits


def read(raw: bytes | None) -> Info | None:
    """Return the info object in a key; a key that holds something else holds none of ours."""
    if raw is None:
        return None
    try:
        return Info.from_json(raw)
    except ValueError:
        return None


def _totals(counts: Any) -> dict[str, int]:
    return {state.decode(): int(count) for state, count in counts.items() if int(count) > 0}


def _depth_first(root: Info, children: dict[str, list[Info]]) -> Iterator[Info]:
    stack = [root]
    while stack:
        info = stack.pop()
        yield info
        stack += reversed(children.get(info.id, ()))
