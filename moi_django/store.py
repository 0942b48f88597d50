"""The only module that knows a key or a channel of Redis.

=================  =======  ===========================================================
key                type     content
=================  =======  ===========================================================
<id>               string   the info object of a job or group, as JSON
<group>:jobs       set      ids of the jobs and groups in a group
<group>:totals     hash     state -> number of jobs in that state below a group, expired ones too
<group>:seal       string   is there while a group is removed: nothing comes into it any more
user-id-map        hash     user -> id of the user's root group, and that id -> user
=================  =======  ===========================================================

=================  =======================================================================
channel            message, JSON
=================  =======================================================================
<id>:pubsub        {"update": [id]} after a change, {"remove": [id], "done": true} after its end
<group>:pubsub     {"add": [id], "done": true}, {"remove": ...} after one came into or left it
=================  =======================================================================

MOI["KEY_PREFIX"] goes before every key and every channel. Every key expires, and every write below
a group renews the keys of the groups above it, so a group outlives its youngest job.

A write is one script (see `scripts`), so it happens as a whole or not at all.
"""

import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from moi_django import scripts
from moi_django.exceptions import GroupNotFound, JobNotFound
from moi_django.models import Info
from moi_django.pool import Connection

EXPIRE = 86400 * 14
USER_MAP = "user-id-map"
CHUNK = 500
# Seconds that a removal may take before its group can be filled again, should the remover die.
SEAL = 60
# Seconds after which a listener looks by itself, should a message have been lost.
LISTEN = 5.0


class Store(Connection):
    """Jobs, groups and users in one Redis, under one key prefix."""

    def __init__(self, url: str, prefix: str = "", expire: int = EXPIRE) -> None:
        super().__init__(url)
        self.prefix, self.expire = prefix, expire
        self._create = self.redis.register_script(scripts.CREATE)
        self._change = self.redis.register_script(scripts.CHANGE)
        self._remove = self.redis.register_script(scripts.REMOVE)
        self._enrol = self.redis.register_script(scripts.ENROL)
        self._attach = self.redis.register_script(scripts.ATTACH)
        self._detach = self.redis.register_script(scripts.DETACH)

    # Names in Redis

    def key(self, id: str) -> str:
        """Return the key of a job or group."""
        return f"{self.prefix}{id}"

    def channel(self, id: str) -> str:
        """Return the channel of a job or group."""
        return f"{self.prefix}{id}:pubsub"

    def id_of_channel(self, channel: str) -> str:
        """Return whose channel it is."""
        return channel.removeprefix(self.prefix).removesuffix(":pubsub")

    def _members(self, group: str) -> str:
        return f"{self.prefix}{group}:jobs"

    def _totals(self, group: str) -> str:
        return f"{self.prefix}{group}:totals"

    def _seal(self, group: str) -> str:
        return f"{self.prefix}{group}:seal"

    def _above(self, info: Info) -> list[str]:
        """Return three keys for each group above, the nearest first."""
        return [
            key
            for group in reversed(info.ancestors)
            for key in (self.key(group), self._members(group), self._totals(group))
        ]

    # Reading

    def get(self, id: str) -> Info | None:
        """Return what is known about an id, or None."""
        return self.get_many([id])[0]

    def get_many(self, ids: Sequence[str]) -> list[Info | None]:
        """Return what is known about each id, None where nothing is."""
        return [_read(raw) for raw in self.raw_many(ids)]

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
                    pipeline.smembers(self._members(group))
                found += [{id.decode() for id in ids} for ids in pipeline.execute()]
        return found

    def totals(self, group: str) -> dict[str, int]:
        """Return how many jobs below a group are in each state, those that expired included."""
        with self.answers():
            counts: Any = self.redis.hgetall(self._totals(group))
        return {state.decode(): int(count) for state, count in counts.items() if int(count) > 0}

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
            present = [info for info in map(_read, raws) if info is not None]
            infos.update((info.id, info) for info in present)
            children[group] = sorted(present, key=lambda info: (info.date_created or "", info.id))
            below += [info.id for info in present if info.is_group]
        return below

    def _prune(self, group: str, ids: list[str]) -> None:
        if ids:
            with self.answers():
                self.redis.srem(self._members(group), *ids)

    # Writing

    def create(self, info: Info) -> None:
        """Write a new job or group and put it in its group.

        Raises GroupNotFound when that group is gone; ValueError when the id is taken.
        """
        with self.answers():
            done = self._create(
                keys=[
                    self.key(info.id),
                    self.key(USER_MAP),
                    self._seal(info.parent or info.id),
                    *self._above(info),
                ],
                args=[
                    info.to_json(),
                    self.expire,
                    info.id,
                    self.channel(info.parent or info.id),
                    _message("add", info.id),
                    info.state or "",
                ],
            )
        if done == 0:
            raise GroupNotFound(f"There is no group {info.parent}: it was removed or has expired.")
        if done == -1 and self.get(info.id) != info:  # the same: done, its answer was lost
            raise ValueError(f"the id {info.id} is taken")

    def change(
        self, id: str, change: Callable[[Info], Info | None], known: Info | None = None
    ) -> Info:
        """Replace a job's or group's info by what `change` makes of the present one.

        `change` is called again when another writer came first, and returns None to leave things
        as they are. A finished job is never handed to it. `known` is a guess of the present info
        that saves a round trip. Returns the present info; raises JobNotFound when there is none.
        """
        raw = known.to_json().encode() if known else self.raw_many([id])[0]
        while True:
            info = _read(raw)
            if raw is None or info is None:
                raise JobNotFound(f"There is no job {id}: it was removed or has expired.")
            new = None if info.finished else change(info)
            if new is None:
                return info
            raw = self._swap(raw, info, new)
            if raw == 1 or raw == new.to_json().encode():  # the latter: done, its answer was lost
                return new

    def _swap(self, raw: bytes, old: Info, new: Info) -> Any:
        """Write `new` if the key still holds `raw`; return 1, or what it holds instead."""
        with self.answers():
            return self._change(
                keys=[self.key(old.id), self.key(USER_MAP), *self._above(old)],
                args=[
                    raw,
                    new.to_json(),
                    self.expire,
                    self.channel(old.id),
                    _message("update", old.id),
                    old.state or "",
                    new.state or "",
                ],
            )

    def remove(self, id: str) -> list[Info]:
        """Remove a job, or a group with everything that has its home below it.

        What only visits one of the groups, because it was added to it, is taken out and stays.
        Returns the infos of what was removed, children first.
        """
        removed: list[Info] = []
        # Again for what came into the groups before they were sealed.
        while (info := self.get(id)) is not None:
            self._close([info])
            homes, visits = self._inhabitants(info)
            self._close(homes[1:])
            for group, visitor in visits:
                self.detach(group, visitor)
            removed += filter(None, map(self._remove_empty, reversed(homes)))
        return removed

    def _close(self, infos: Sequence[Info]) -> None:
        """Let nothing come into the groups among these any more."""
        with self.answers():
            pipeline = self.redis.pipeline(transaction=False)
            for info in infos:
                if info.is_group:
                    pipeline.set(self._seal(info.id), "", ex=SEAL)
            pipeline.execute()

    def _inhabitants(self, root: Info) -> tuple[list[Info], list[tuple[str, str]]]:
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

    def _remove_empty(self, info: Info) -> Info | None:
        """Remove one job, or one group if nothing is in it; return what was removed."""
        raw: Any = self.raw_many([info.id])[0]
        while raw is not None and (present := _read(raw)) is not None:
            raw = self._delete(raw, present)
            if raw in (0, 1):
                return present if raw else None
        return None

    def _delete(self, raw: bytes, info: Info) -> Any:
        """Delete a key if it still holds `raw`; return 1, 0 if not empty, or what it holds."""
        with self.answers():
            return self._remove(
                keys=[
                    self.key(info.id),
                    self._members(info.id),
                    self._totals(info.id),
                    self._seal(info.id),
                    *self._above(info),
                ],
                args=[
                    raw,
                    info.id,
                    self.channel(info.id),
                    self.channel(info.parent) if info.parent else "",
                    _message("remove", info.id),
                    info.state or "",
                ],
            )

    def attach(self, group: str, id: str) -> bool:
        """Let a job or group visit a group besides its home; tell whether that is new.

        Raises GroupNotFound when there is no such group.
        """
        done = self._move(self._attach, "add", group, id)
        if done == -1:
            raise GroupNotFound(f"There is no group {group}: it was removed or has expired.")
        return bool(done)

    def detach(self, group: str, id: str) -> bool:
        """Take a job or group out of a group without removing it; tell whether it was in."""
        return bool(self._move(self._detach, "remove", group, id))

    def _move(self, script: Callable[..., Any], verb: str, group: str, id: str) -> Any:
        with self.answers():
            return script(
                keys=[self._members(group), self.key(group), self._seal(group)],
                args=[id, self.channel(group), _message(verb, id), self.expire],
            )

    # Users

    def enrol(self, user: str, root: Callable[[str], Info]) -> str:
        """Return the id of a user's root group, made with `root(id)` when there is none."""
        with self.answers():
            group = self._enrol(
                keys=[self.key(USER_MAP)], args=[user, str(uuid.uuid4()), self.expire]
            ).decode()
            # It may have expired with all its jobs: its id stays the user's.
            self.redis.set(self.key(group), root(group).to_json(), ex=self.expire, nx=True)
        return group

    def user_map(self) -> dict[str, str]:
        """Return the map of users and their root groups, which has each pair both ways."""
        with self.answers():
            pairs: Any = self.redis.hgetall(self.key(USER_MAP))
        return {key.decode(): value.decode() for key, value in pairs.items()}

    def user_lookup(self, key: str) -> str | None:
        """Return the group id of a user, or the user of a group id, or None."""
        with self.answers():
            value: Any = self.redis.hget(self.key(USER_MAP), key)
        return value.decode() if value else None

    # Listening

    @contextmanager
    def listen(self, id: str) -> Iterator[Callable[[float | None], None]]:
        """Subscribe to the changes of one id; the function given waits some seconds for the next.

        It may return early and without a change: read what you want to know after each call.
        """
        with self.answers(), self.redis.pubsub() as pubsub:
            pubsub.subscribe(self.channel(id))
            pubsub.get_message(timeout=LISTEN)  # its confirmation: from here on nothing is missed

            def heard(seconds: float | None) -> None:
                pubsub.get_message(timeout=LISTEN if seconds is None else min(seconds, LISTEN))

            yield heard


def _read(raw: bytes | None) -> Info | None:
    """Return the info object in a key; a key that holds something else holds none of ours."""
    if raw is None:
        return None
    try:
        return Info.from_json(raw)
    except ValueError:
        return None


def _message(verb: str, id: str) -> str:
    """Return a message that tells what has been done; without `done` it would ask for it."""
    return json.dumps({verb: [id], "done": True} if verb != "update" else {verb: [id]})


def _depth_first(root: Info, children: dict[str, list[Info]]) -> Iterator[Info]:
    stack = [root]
    while stack:
        info = stack.pop()
        yield info
        stack += reversed(children.get(info.id, ()))
