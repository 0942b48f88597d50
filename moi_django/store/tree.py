"""Groups and what is in them, read and changed as a tree."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from moi_django.exceptions import GroupNotFound
from moi_django.models import MAX_AMOUNT, Info, State, timestamp
from moi_django.store.connection import Connection
from moi_django.store.engines import EngineRegistry
from moi_django.store.job_batches import GoesOn, JobBatches, always
from moi_django.store.job_records import CHUNK_SIZE, JobRecords, done_message, parse_info
from moi_django.validation import number_of, text_of

# Seconds that a removal may take before its group can be filled again, should the remover die.
SEAL_LIFETIME = 60
# How often a removal looks whether there is something left, should others fill the group meanwhile.
REMOVAL_ROUNDS = 100


class JobTree:
    """The groups of one store; a group holds its children, and links to what has another parent."""

    def __init__(
        self,
        connection: Connection,
        jobs: JobRecords,
        engines: EngineRegistry,
        batches: JobBatches,
    ) -> None:
        self._connection, self._jobs = connection, jobs
        self._engines, self._batches = engines, batches
        self._keys, self._redis = connection.keys, connection.redis
        self._config = connection.config

    # Members

    def members(self, group: str) -> set[str]:
        """Return the ids of the jobs and groups directly in a group."""
        return self.members_many([group])[0]

    def members_many(self, groups: Sequence[str]) -> list[set[str]]:
        """Return the ids directly in each group, in one round trip for many groups."""
        found: list[set[str]] = []
        with self._connection.translated_errors():
            for start in range(0, len(groups), CHUNK_SIZE):
                pipeline = self._redis.pipeline(transaction=False)
                for group in groups[start : start + CHUNK_SIZE]:
                    pipeline.smembers(self._keys.members(group))
                found += [set(map(text_of, ids)) for ids in pipeline.execute()]
        return found

    def are_members(self, pairs: Sequence[tuple[str, str]]) -> list[bool]:
        """Tell for each (group, id) whether the group has that member."""
        with self._connection.translated_errors():
            pipeline = self._redis.pipeline(transaction=False)
            for group, id in pairs:
                pipeline.sismember(self._keys.members(group), id)
            return [bool(held) for held in pipeline.execute()]

    def member_count(self, group: str) -> int:
        """Return how many jobs and groups are directly in a group."""
        with self._connection.translated_errors():
            return int(self._redis.scard(self._keys.members(group)))

    def totals(self, group: str) -> dict[str, int]:
        """Return how many jobs below a group are in each state, those that expired included."""
        with self._connection.translated_errors():
            return parse_totals(self._redis.hgetall(self._keys.totals(group)))

    def with_counts(self, infos: Sequence[Info]) -> list[Info]:
        """Return infos, those of groups with their `size` and `totals`."""
        groups = [info.id for info in infos if info.is_group]
        with self._connection.translated_errors():
            pipeline = self._redis.pipeline(transaction=False)
            for group in groups:
                pipeline.scard(self._keys.members(group))
                pipeline.hgetall(self._keys.totals(group))
            answers = iter(pipeline.execute())
        counts: dict[str, dict[str, Any]] = {
            group: {"size": next(answers), "totals": parse_totals(next(answers))}
            for group in groups
        }
        return [replace(info, **counts[info.id]) if info.is_group else info for info in infos]

    def drop_members(self, group: str, ids: Sequence[str]) -> None:
        """Take ids whose job has expired out of a group."""
        if ids:
            with self._connection.translated_errors():
                pipeline = self._redis.pipeline(transaction=False)
                pipeline.srem(self._keys.members(group), *ids)
                pipeline.zrem(self._keys.order(group), *ids)
                pipeline.execute()

    def add_member(self, group: str, id: str) -> bool:
        """Let a job or group appear in a group besides its parent; tell whether that is new.

        Raises GroupNotFound when there is no such group.
        """
        linked = self._jobs.get(id)
        keys = {
            "members": self._keys.members(group),
            "info": self._keys.info(group),
            "seal": self._keys.seal(group),
            "order": self._keys.order(group),
        }
        args = {
            "id": id,
            "channel": self._keys.channel(group),
            "message": done_message("add", id),
            "lifetime": self._config.expire,
            "created": timestamp(linked.date_created) if linked else 0.0,
        }
        done = self._connection.run_script("add_member", keys, args)
        if done == -1:
            raise GroupNotFound.for_id(group)
        return bool(done)

    def remove_member(self, group: str, id: str) -> bool:
        """Take a job or group out of a group without removing it; tell whether it was in."""
        keys = {"members": self._keys.members(group), "order": self._keys.order(group)}
        args = {
            "id": id,
            "channel": self._keys.channel(group),
            "message": done_message("remove", id),
        }
        return bool(self._connection.run_script("remove_member", keys, args))

    # All that is below

    def subtree(self, group: str) -> list[Info]:
        """Return a group and everything below it: parents first, siblings from the oldest on.

        An id that is met twice, as in a cycle, appears once. Ids whose job has expired are taken
        out of their group. Returns an empty list when there is no such group.
        """
        root = self._jobs.get(group)
        if root is None:
            return []
        infos, children = {group: root}, dict[str, list[Info]]()
        level = [group]
        while level:
            level = self._load_level(level, infos, children)
        return list(_depth_first(root, children))

    def _load_level(
        self, level: list[str], infos: dict[str, Info], children: dict[str, list[Info]]
    ) -> list[str]:
        """Read the members of some groups; return the groups among those not met before."""
        below: list[str] = []
        for group, ids in zip(level, self.members_many(level), strict=True):
            fresh = [id for id in ids if id not in infos]
            raws = self._jobs.get_raw_many(fresh)
            gone = [id for id, raw in zip(fresh, raws, strict=True) if raw is None]
            self.drop_members(group, gone)
            present = [info for info in map(parse_info, raws, fresh) if info is not None]
            infos.update((info.id, info) for info in present)
            children[group] = sorted(present, key=lambda info: (info.date_created or "", info.id))
            below += [info.id for info in present if info.is_group]
        return below

    def descendants(self, root: Info) -> tuple[list[Info], list[tuple[str, str]]]:
        """Return a node and what is below it by parent, parents first; and (group, id) of links."""
        found, links, level = [root], list[tuple[str, str]](), [root]
        seen = {root.id}  # a foreign program may have written a cycle
        while level:
            groups = [info.id for info in level if info.is_group]
            level = []
            for group, ids in zip(groups, self.members_many(groups), strict=True):
                for id, info in zip(ids, self._jobs.get_many(list(ids)), strict=True):
                    if info is not None and info.parent == group and id not in seen:
                        seen.add(id)
                        level.append(info)
                    else:
                        links.append((group, id))
            found += level
        return found, links

    def cancel(self, id: str, goes_on: GoesOn = always) -> int:
        """Cancel a job, or what is below a group by parent; return how many were cancelled."""
        info = self._jobs.get(id)
        if info is None or (info.is_group and not self.has_unfinished(id)):
            return 0
        below, _ = self.descendants(info)
        cancellable = [each for each in below if each.cancellable]
        done = self._batches.change(cancellable, _cancelled, goes_on)
        self._notify_engines(done)
        return len(done)

    def has_unfinished(self, group: str) -> bool:
        """Tell whether something below a group has not ended."""
        totals = self.totals(group)
        return any(not State(state).finished for state in totals if state in set(State))

    def _notify_engines(self, changed: Sequence[Info]) -> None:
        """Let engines look whether what ran there before a change is still wanted."""
        for engine in {info.engine for info in changed if info.state is State.RUNNING}:
            self._engines.notify(engine)

    def remove(self, id: str, goes_on: GoesOn = always) -> list[Info]:
        """Remove a job, or a group with everything that is below it by parent.

        What one of the groups only links to is taken out and stays. Returns the infos of what was
        removed, children first.
        """
        removed: list[Info] = []
        # Again for what came into the groups before they were sealed.
        for _ in range(REMOVAL_ROUNDS):
            if not goes_on() or (info := self._jobs.get(id)) is None:
                break
            self._seal([info])
            below, links = self.descendants(info)
            self._seal(below[1:])
            for group, linked in links:
                self.remove_member(group, linked)
            ids = [each.id for each in reversed(below)]
            removed += self._batches.remove(ids, goes_on)
        self._notify_engines(removed)
        return removed

    def _seal(self, infos: Sequence[Info]) -> None:
        """Let nothing come into the groups among these any more."""
        with self._connection.translated_errors():
            pipeline = self._redis.pipeline(transaction=False)
            for info in infos:
                if info.is_group:
                    pipeline.set(self._keys.seal(info.id), "", ex=SEAL_LIFETIME)
            pipeline.execute()


def parse_totals(counts: Any) -> dict[str, int]:
    """Return the totals of a group as its key has them, without what is none."""
    numbers = {text_of(state): int(number_of(count)) for state, count in counts.items()}
    return {state: number for state, number in numbers.items() if 0 < number <= MAX_AMOUNT}


def _cancelled(info: Info) -> Info:
    return info.ended(State.CANCELLED)


def _depth_first(root: Info, children: dict[str, list[Info]]) -> Iterator[Info]:
    stack = [root]
    while stack:
        info = stack.pop()
        yield info
        stack += reversed(children.get(info.id, ()))
