"""Read, create and change the info objects of jobs and groups in Redis.

What is in an info object, `models` says. A write is one script, so it happens as a whole or not at
all.
"""

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from moi_django.exceptions import DuplicateJob, GroupNotFound, JobNotFound, StoreUnavailable
from moi_django.info_json import info_from_json
from moi_django.models import Info, State, timestamp
from moi_django.store.connection import Connection, Wait
from moi_django.store.engines import EngineRegistry
from moi_django.store.keys import member
from moi_django.store.record_args import (
    delay_of,
    durations,
    end_of_removed,
    lane_args,
    max_payload,
    next_place,
    told_json,
    used_seconds,
)
from moi_django.store.scripts import ScriptCall
from moi_django.validation import text_of

logger = logging.getLogger(__name__)

# How many are read at once; each may have a result of RESULT_LIMIT bytes.
CHUNK_SIZE = 200
# How many are best created in one round trip.
CREATED_AT_ONCE = 500


class JobRecords:
    """The info objects, each under its id, and the signed functions of jobs."""

    # Lets what waits for an end go on, after one was written.
    settle_children: Callable[[], object]

    def __init__(self, connection: Connection, engines: EngineRegistry) -> None:
        self._connection, self._engines = connection, engines
        self._keys, self._redis = connection.keys, connection.redis
        self._config = connection.config

    # Reading

    def get(self, id: str) -> Info | None:
        """Return what is known about an id, or None."""
        return self.get_many([id])[0]

    def get_many(self, ids: Sequence[str]) -> list[Info | None]:
        """Return what is known about each id, None where nothing is."""
        return list(map(parse_info, self.get_raw_many(ids), ids))

    def get_raw_many(self, ids: Sequence[str]) -> list[bytes | None]:
        """Return the JSON that is stored for each id, None where nothing is."""
        found: list[bytes | None] = []
        with self._connection.translated_errors():
            for start in range(0, len(ids), CHUNK_SIZE):
                keys = [self._keys.info(id) for id in ids[start : start + CHUNK_SIZE]]
                raws: Any = self._redis.mget(keys)
                found += raws
        return found

    def missing(self, ids: Sequence[str]) -> list[str]:
        """Return those ids of which there is no job or group; some of many in one command each."""
        found: list[str] = []
        for start in range(0, len(ids), CREATED_AT_ONCE):
            chunk = ids[start : start + CREATED_AT_ONCE]
            keys = list(map(self._keys.info, chunk))
            with self._connection.translated_errors():
                if self._redis.exists(*keys) == len(keys):
                    continue
                pipeline = self._redis.pipeline(transaction=False)
                for key in keys:
                    pipeline.exists(key)
                there = pipeline.execute()
            found += [id for id, is_there in zip(chunk, there, strict=True) if not is_there]
        return found

    def payload(self, id: str) -> bytes | None:
        """Return the signed function of a job, or None."""
        return self.payloads([id])[0]

    def payloads(self, ids: Sequence[str]) -> list[bytes | None]:
        """Return the signed function of each job, None where there is none."""
        with self._connection.translated_errors():
            raws: Any = self._redis.mget(list(map(self._keys.payload, ids))) if ids else []
        return list(raws)

    @contextmanager
    def listen(self, id: str) -> Iterator[Wait]:
        """Subscribe to the changes of one id, as `Connection.listen` does to a channel."""
        with self._connection.listen(self._keys.channel(id)) as wait:
            yield wait

    # Writing

    def create(
        self,
        info: Info,
        payload: bytes = b"",
        engines: int = 0,
        call: str = "",
    ) -> bool:
        """Write a new job or group, put it in its group, and let it wait if it has a payload.

        Tells whether a worker is to be called, which is then noted as `call`: fewer are at the
        queue than there are `engines`, and none has nothing to do. Raises GroupNotFound when that
        group is gone; ValueError when the id is taken; DuplicateJob when an unfinished job has its
        unique key.
        """
        answer = self._run(self.creation(info, payload, engines, call))
        return self._created(info, answer, bool(call))

    def create_instead(
        self, old: str, info: Info, payload: bytes, engines: int, call: str
    ) -> bool | None:
        """Create a job that runs instead of one that has ended, which says so from then on.

        Tells what `create` tells; None when that one was retried or removed meanwhile.
        """
        raw: Any = self.get_raw_many([old])[0]
        while (before := parse_info(raw, old)) and before.finished and not before.retried:
            after = before.changed(retried=info.id)
            raw, answer = self._connection.run_at_once(
                [
                    self.replacement(raw, before, after),
                    self.creation(info, payload, engines, call, instead_of=after),
                ]
            )
            if answer != b"changed":
                return self._created(info, answer, bool(call))
        return None

    def create_many(self, jobs: Sequence[tuple[Info, bytes]]) -> None:
        """Do what `create` does with some jobs in one round trip; it calls no worker.

        What was created before an error stays.
        """
        answers = self._connection.run_scripts([self.creation(*job) for job in jobs])
        for (info, _), answer in zip(jobs, answers, strict=True):
            self._created(info, answer, False)

    def _created(self, info: Info, answer: bytes | list[bytes], may_call: bool) -> bool:
        if answer == b"gone":
            raise GroupNotFound.for_id(info.parent)
        if answer == b"settle":
            self.settle()
        if isinstance(answer, list):
            raise DuplicateJob(text_of(answer[0]), info.unique)
        if answer != b"taken":
            return answer == b"call"
        if not self._is_same(info, self.get(info.id)):
            raise ValueError(f"the id {info.id} is taken")
        return may_call  # it was done, and its answer was lost

    def _is_same(self, info: Info, present: Info | None) -> bool:
        """Tell whether a job or group is the one that was created, however it may be by now."""
        if present is None:
            return False
        written = [(each.path, each.name, each.date_created) for each in (info, present)]
        return written[0] == written[1]

    def creation(
        self,
        info: Info,
        payload: bytes,
        engines: int = 0,
        call: str = "",
        instead_of: Info | None = None,
    ) -> ScriptCall:
        """Return the call that does what `create` does."""
        keys = {
            "info": self._keys.info(info.id),
            "instead_of": self._keys.info(instead_of.id if instead_of else info.id),
            "users": self._keys.users,
            "seal": self._keys.seal(info.parent or info.id),
            "payload": self._keys.payload(info.id),
            "checkpoint": self._keys.checkpoint(info.id),
            "old_checkpoint": self._keys.checkpoint(instead_of.id if instead_of else info.id),
            "queues": self._keys.queues,
            "workers": self._keys.workers(info.queue),
            "jobs": self._keys.jobs,
            "owner_jobs": self._keys.owner_jobs(info.owner),
            "ended": self._keys.ended,
            "unique": self._keys.unique(info.owner, info.unique or ""),
            "ancestors": self._keys.ancestors(info),
        }
        ran, waited = durations(info)
        args = {
            "json": (new_json := info.to_json()),
            "told_json": told_json(info, new_json),
            "begins_events": "1" if self._config.begins_events else "",
            "instead_json": instead_of.to_json() if instead_of else "",
            "lifetime": self._config.expire,
            "id": info.id,
            "channel": self._keys.channel(info.parent or info.id),
            "message": done_message("add", info.id),
            "state": info.counted_as,
            "member": member(info),
            **lane_args(info),
            "payload": payload,
            "created": timestamp(info.date_created),
            "prefix": self._config.prefix,
            "ran": ran,
            "waited": waited,
            "engines": engines,
            "call": call,
            "delay": delay_of(info),
            "is_unique": "1" if info.unique else "",
            "parents": info.after,
        }
        return ScriptCall("create", keys, args)

    def _run(self, call: ScriptCall) -> Any:
        return self._connection.run_scripts([call])[0]

    def change(
        self,
        id: str,
        change: Callable[[Info], Info | None],
        known: Info | None = None,
        delay: float = 0.0,
    ) -> Info:
        """Replace a job's or group's info by what `change` makes of the present one.

        `change` is called again when another writer came first, and returns None to leave things
        as they are. A finished job is never handed to it. `known` is a guess of the present info
        that saves a round trip. `delay` are the seconds before a new attempt. Returns the present
        info; raises JobNotFound when there is none.
        """
        raw: Any = known.to_json().encode() if known else self.get_raw_many([id])[0]
        while True:
            info = parse_info(raw, id)
            if raw is None or info is None:
                raise JobNotFound.for_id(id)
            new = None if info.finished else change(info)
            if new is None:
                return info
            raw = self._swap(raw, info, new, delay)
            if self.is_written(raw, new):
                return new

    def _swap(self, raw: bytes, old: Info, new: Info, delay: float = 0.0) -> Any:
        """Write `new` if the key still holds `raw`; return 1, or what it holds instead."""
        return self._run(self.replacement(raw, old, new, delay))

    def is_written(self, answer: Any, new: Info) -> bool:
        """Tell from the answer to a replacement whether it was done; let children of it go on."""
        if answer == 2:
            self.settle()
        # The latter: done, and the answer was lost.
        return answer in (1, 2) or answer == new.to_json().encode()

    def settle(self) -> None:
        """Let what waits for an end go on; what cannot be done now is left to a reconciler."""
        try:
            self.settle_children()
        except StoreUnavailable as error:
            logger.warning("Children of jobs are left to the reconciler: %s", error)

    def replacement(self, raw: bytes, old: Info, new: Info, delay: float = 0.0) -> ScriptCall:
        """Return the call that writes `new` if the key still holds `raw`.

        What it gives `is_written` can read: 1 or 2, or what the key holds instead.
        """
        keys = {
            "info": self._keys.info(old.id),
            "users": self._keys.users,
            **self._keys.artifacts(old.id),
            "jobs": self._keys.jobs,
            "owner_jobs": self._keys.owner_jobs(old.owner),
            "ended": self._keys.ended,
            "durations": self._keys.durations(old.context or ""),
            "unique": self._keys.unique(old.owner, old.unique or ""),
            "ancestors": self._keys.ancestors(old),
        }
        ran, waited = durations(new)
        args = {
            "old_json": raw,
            "new_json": (new_json := new.to_json()),
            "told_json": told_json(new, new_json),
            "says_more": "1" if new.status != old.status else "",
            "lifetime": self._config.expire,
            "prefix": self._config.prefix,
            "channel": self._keys.channel(old.id),
            "message": json.dumps({"update": [old.id]}),
            "old_state": old.counted_as,
            "new_state": new.counted_as,
            "old_member": member(old),
            "new_member": member(new),
            **lane_args(new),
            "move_to": next_place(old, new, delay),
            "seconds": delay,
            "max_payload": max_payload(new, self._config.retry_payload_limit),
            "id": new.id,
            "created": timestamp(new.date_created),
            "used": used_seconds(old, new),
            "ran": ran,
            "waited": waited,
        }
        return ScriptCall("change", keys, args)

    def cancel(self, id: str) -> tuple[Info, bool]:
        """Give an unfinished job its end and tell its engine.

        Returns the present info and whether it was this call that ended it. Raises JobNotFound when
        there is none.
        """
        ended = False

        def to_end(info: Info) -> Info | None:
            nonlocal ended
            ended = not info.is_group
            return info.ended(State.CANCELLED) if ended else None

        info = self.change(id, to_end)
        if ended:
            self._engines.notify(info.engine)
        return info, ended and info.state is State.CANCELLED

    def remove_if_empty(self, id: str) -> Info | None:
        """Remove one job, or one group if nothing is in it; return what was removed."""
        raw: Any = self.get_raw_many([id])[0]
        while raw is not None and (present := parse_info(raw, id)) is not None:
            raw = self._run(self.removal(raw, present))
            if raw == 2:
                self.settle()
            if raw in (0, 1, 2):
                return present if raw else None
        return None

    def removal(self, raw: bytes, info: Info) -> ScriptCall:
        """Return the call that deletes a key if it still holds `raw`.

        What it gives is 1, 2 if there are children, 0 if it is not empty, or what it holds.
        """
        keys = {
            "info": self._keys.info(info.id),
            "members": self._keys.members(info.id),
            "totals": self._keys.totals(info.id),
            "seal": self._keys.seal(info.id),
            "order": self._keys.order(info.id),
            **self._keys.artifacts(info.id),
            "jobs": self._keys.jobs,
            "owner_jobs": self._keys.owner_jobs(info.owner),
            "ancestors": self._keys.ancestors(info),
        }
        args = {
            "old_json": raw,
            "id": info.id,
            "channel": self._keys.channel(info.id),
            "parent_channel": self._keys.channel(info.parent) if info.parent else "",
            "message": done_message("remove", info.id),
            "counted_as": info.counted_as,
            "member": member(info),
            "state": info.state or "",
            "ran": used_seconds(info, info),
            "told_json": end_of_removed(info),
            "prefix": self._config.prefix,
            "lifetime": self._config.expire,
        }
        return ScriptCall("remove", keys, args)


def parse_info(raw: bytes | None, id: str | None = None) -> Info | None:
    """Return an info object, that of an id if it is given; what is another one is none of ours."""
    if raw is None:
        return None
    try:
        info = info_from_json(raw)
    except ValueError as error:
        logger.debug("What is kept of %r is left out: %s", id, error)
        return None
    return info if id in (None, info.id) else None


def done_message(verb: str, id: str) -> str:
    """Return a message that tells what has been done; without `done` it would ask for it."""
    return json.dumps({verb: [id], "done": True})
