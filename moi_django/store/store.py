"""Jobs, groups and users in Redis: how they are read and how they change.

A write is one script (see `scripts`), so it happens as a whole or not at all. The schema stands in
`keys`.
"""

import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from moi_django.exceptions import GroupNotFound, JobNotFound
from moi_django.models import Info, State, now, timestamp
from moi_django.store import scripts
from moi_django.store.figures import Figures
from moi_django.store.keys import USER_MAP, member
from moi_django.store.queues import LEASE
from moi_django.store.reader import read

EXPIRE = 86400 * 14
# Seconds that a removal may take before its group can be filled again, should the remover die.
SEAL = 60
# Seconds after which a listener looks by itself, should a message have been lost.
LISTEN = 5.0
# Bytes of a signed function that are kept of a job which did not succeed, so it can be retried.
KEEP = 1_000_000


class Store(Figures):
    """Jobs, groups and users in one Redis, under one key prefix."""

    def __init__(
        self,
        url: str,
        prefix: str = "",
        expire: int = EXPIRE,
        lease: float = LEASE,
        keep: int = KEEP,
    ) -> None:
        super().__init__(url, prefix, expire, lease)
        self.keep = keep
        self._create = self.redis.register_script(scripts.ALL + scripts.CREATE)
        self._change = self.redis.register_script(scripts.ALL + scripts.CHANGE)
        self._remove = self.redis.register_script(scripts.ALL + scripts.REMOVE)
        self._enrol = self.redis.register_script(scripts.ENROL)
        self._attach = self.redis.register_script(scripts.ATTACH)
        self._detach = self.redis.register_script(scripts.DETACH)

    def create(self, info: Info, payload: str = "") -> float:
        """Write a new job or group, put it in its group, and let it wait if it has a payload.

        Returns when that was, by the clock of Redis. Raises GroupNotFound when that group is gone;
        ValueError when the id is taken.
        """
        with self.answers():
            done = self._create(
                keys=[
                    self.key(info.id),
                    self.key(USER_MAP),
                    self.seal_key(info.parent or info.id),
                    self.payload_key(info.id),
                    self.waiting_key(info.context),
                    self.jobs_key,
                    self.all_key(info.owner),
                    self.ended_key,
                    *self.above(info),
                ],
                args=[
                    info.to_json(),
                    self.expire,
                    info.id,
                    self.channel(info.parent or info.id),
                    _message("add", info.id),
                    info.counted_as,
                    member(info),
                    payload,
                    timestamp(info.date_created),
                    self.prefix,
                    *_spans(info),
                ],
            )
        if done == b"gone":
            raise GroupNotFound(f"There is no group {info.parent}: it was removed or has expired.")
        if done == b"taken":
            if self.get(info.id) != info:
                raise ValueError(f"the id {info.id} is taken")
            return self.time()  # done, its answer was lost
        return float(done)

    def change(
        self,
        id: str,
        change: Callable[[Info], Info | None],
        known: Info | None = None,
        pause: float = 0.0,
    ) -> Info:
        """Replace a job's or group's info by what `change` makes of the present one.

        `change` is called again when another writer came first, and returns None to leave things
        as they are. A finished job is never handed to it. `known` is a guess of the present info
        that saves a round trip. `pause` are the seconds before a new attempt. Returns the present
        info; raises JobNotFound when there is none.
        """
        raw = known.to_json().encode() if known else self.raw_many([id])[0]
        while True:
            info = read(raw)
            if raw is None or info is None:
                raise JobNotFound(f"There is no job {id}: it was removed or has expired.")
            new = None if info.finished else change(info)
            if new is None:
                return info
            raw = self._swap(raw, info, new, pause)
            if raw == 1 or raw == new.to_json().encode():  # the latter: done, its answer was lost
                return new

    def _swap(self, raw: bytes, old: Info, new: Info, pause: float) -> Any:
        """Write `new` if the key still holds `raw`; return 1, or what it holds instead."""
        queue, seconds = _queue(old, new, pause, self.lease)
        with self.answers():
            return self._change(
                keys=[
                    self.key(old.id),
                    self.key(USER_MAP),
                    *self.own_keys(old.id),
                    *self.queue_keys(old),
                    self.jobs_key,
                    self.all_key(old.owner),
                    self.ended_key,
                    *self.above(old),
                ],
                args=[
                    raw,
                    new.to_json(),
                    self.expire,
                    self.channel(old.id),
                    _message("update", old.id),
                    old.counted_as,
                    new.counted_as,
                    member(old),
                    member(new),
                    queue,
                    seconds,
                    _longest_payload(new, self.keep),
                    new.id,
                    timestamp(new.date_created),
                    *_spans(new),
                ],
            )

    def cancel(self, id: str) -> tuple[Info, bool]:
        """Give an unfinished job its end and tell its engine.

        Returns the present info and whether it was this call that ended it. Raises JobNotFound when
        there is none.
        """
        ended = False

        def end(info: Info) -> Info | None:
            nonlocal ended
            ended = not info.is_group
            state = State.CANCELLED
            return info.changed(state=state, status=state.status, date_end=now()) if ended else None

        info = self.change(id, end)
        if ended:
            self.look(info.engine)
        return info, ended and info.state is State.CANCELLED

    def cancel_below(self, id: str) -> int:
        """Cancel a job, or what has its home below a group; return how many were cancelled."""
        info = self.get(id)
        if info is None:
            return 0
        homes, _ = self.inhabitants(info)
        unfinished = [info.id for info in homes if not info.is_group and not info.finished]
        return sum(self._cancel_if_there(id) for id in unfinished)

    def _cancel_if_there(self, id: str) -> bool:
        try:
            return self.cancel(id)[1]
        except JobNotFound:
            return False  # somebody has removed it meanwhile

    def mark_retried(self, id: str, new: str) -> bool:
        """Note on a finished job as which one it is run again; tell whether that was free to do."""
        raw: Any = self.raw_many([id])[0]
        while (info := read(raw)) is not None and info.finished and not info.retried:
            marked = info.changed(retried=new)
            raw = self._swap(raw, info, marked, 0.0)
            if raw == 1 or raw == marked.to_json().encode():
                return True
        return False

    def remove(self, id: str) -> list[Info]:
        """Remove a job, or a group with everything that has its home below it.

        What only visits one of the groups, because it was added to it, is taken out and stays.
        Returns the infos of what was removed, children first.
        """
        removed: list[Info] = []
        # Again for what came into the groups before they were sealed.
        while (info := self.get(id)) is not None:
            self._close([info])
            homes, visits = self.inhabitants(info)
            self._close(homes[1:])
            for group, visitor in visits:
                self.detach(group, visitor)
            removed += filter(None, map(self._remove_empty, reversed(homes)))
        for engine in {gone.engine for gone in removed if gone.state is State.RUNNING}:
            self.look(engine)
        return removed

    def _close(self, infos: Sequence[Info]) -> None:
        """Let nothing come into the groups among these any more."""
        with self.answers():
            pipeline = self.redis.pipeline(transaction=False)
            for info in infos:
                if info.is_group:
                    pipeline.set(self.seal_key(info.id), "", ex=SEAL)
            pipeline.execute()

    def _remove_empty(self, info: Info) -> Info | None:
        """Remove one job, or one group if nothing is in it; return what was removed."""
        raw: Any = self.raw_many([info.id])[0]
        while raw is not None and (present := read(raw)) is not None:
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
                    self.members_key(info.id),
                    self.totals_key(info.id),
                    self.seal_key(info.id),
                    self.order_key(info.id),
                    *self.own_keys(info.id),
                    *self.queue_keys(info),
                    self.jobs_key,
                    self.all_key(info.owner),
                    *self.above(info),
                ],
                args=[
                    raw,
                    info.id,
                    self.channel(info.id),
                    self.channel(info.parent) if info.parent else "",
                    _message("remove", info.id),
                    info.counted_as,
                    member(info),
                    info.state or "",
                ],
            )

    def attach(self, group: str, id: str) -> bool:
        """Let a job or group visit a group besides its home; tell whether that is new.

        Raises GroupNotFound when there is no such group.
        """
        visitor = self.get(id)
        created = timestamp(visitor.date_created) if visitor else 0.0
        done = self._move(self._attach, "add", group, id, created)
        if done == -1:
            raise GroupNotFound(f"There is no group {group}: it was removed or has expired.")
        return bool(done)

    def detach(self, group: str, id: str) -> bool:
        """Take a job or group out of a group without removing it; tell whether it was in."""
        return bool(self._move(self._detach, "remove", group, id))

    def _move(
        self, script: Callable[..., Any], verb: str, group: str, id: str, created: float = 0.0
    ) -> Any:
        with self.answers():
            return script(
                keys=[
                    self.members_key(group),
                    self.key(group),
                    self.seal_key(group),
                    self.order_key(group),
                ],
                args=[id, self.channel(group), _message(verb, id), self.expire, created],
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

    def user_lookups(self, keys: list[str]) -> dict[str, str]:
        """Return what `user_lookup` does of several, those left out of which nothing is known."""
        with self.answers():
            values: Any = self.redis.hmget(self.key(USER_MAP), keys) if keys else []
        pairs = zip(keys, values, strict=True)
        return {key: value.decode() for key, value in pairs if value}

    # Listening

    @contextmanager
    def listen(self, id: str) -> Iterator[Callable[[float | None], None]]:
        """Subscribe to the changes of one id; the function given waits some seconds for the next.

        It may return early and without a change: read what you want to know after each call.
        """
        with self.listen_to(self.channel(id)) as heard:
            yield heard

    @contextmanager
    def listen_to(self, channel: str) -> Iterator[Callable[[float | None], None]]:
        """Subscribe to any channel, as `listen` does to that of an id."""
        with self.answers(), self.redis.pubsub() as pubsub:
            pubsub.subscribe(channel)
            pubsub.get_message(timeout=LISTEN)  # its confirmation: from here on nothing is missed

            def heard(seconds: float | None) -> None:
                pubsub.get_message(timeout=LISTEN if seconds is None else min(seconds, LISTEN))

            yield heard


# What the script calls the zsets.
_DELAYED, _RUNNING, _NONE, _SAME = "2", "3", "0", ""


def _queue(old: Info, new: Info, pause: float, lease: float) -> tuple[str, float]:
    """Return which zset a job belongs in after a change, and the seconds from now for it."""
    if new.state is State.RUNNING:
        return _RUNNING, lease
    if new.state is State.QUEUED:
        return (_SAME, 0.0) if new.attempt == old.attempt else (_DELAYED, pause)
    return (_SAME, 0.0) if new.is_group else (_NONE, 0.0)


def _longest_payload(info: Info, keep: int) -> int | str:
    """Return from which length on the payload of a job is dropped; "" keeps any."""
    if info.state is State.SUCCESS or info.retried:
        return 0
    is_last = info.state is State.RUNNING and info.attempt >= info.attempts
    # No longer sent by itself, but somebody may retry it.
    return keep if info.finished or is_last else ""


def _spans(info: Info) -> tuple[float | str, float]:
    """Return for how many seconds a job that has ended ran, or "", and how long it had waited."""
    if not info.finished or info.retried:
        return "", 0.0
    start, end = timestamp(info.date_start), timestamp(info.date_end)
    # Clocks of several machines: none of it is below 0.
    ran = max(0.0, end - start) if start else 0.0
    return ran, max(0.0, (start or end) - timestamp(info.date_created))


def _message(verb: str, id: str) -> str:
    """Return a message that tells what has been done; without `done` it would ask for it."""
    return json.dumps({verb: [id], "done": True} if verb != "update" else {verb: [id]})
