"""Jobs that wait for others: parents and children, and what becomes of children when parents end.

A script that writes an end notes it, if there are children. Whoever has written it, and reconcilers
again and again, then let the children go on or end them: all of it may be done twice.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from moi_django.models import BAR_PARTS, RUN, SKIP, Info, State
from moi_django.store.connection import Connection
from moi_django.store.job_batches import BATCH_SIZE, JobBatches
from moi_django.store.job_records import JobRecords
from moi_django.store.keys import member
from moi_django.store.queue import QueuedAttempt
from moi_django.store.record_args import delay_of, lane_args
from moi_django.store.scripts import ScriptCall
from moi_django.store.tree import JobTree
from moi_django.validation import text_of

# How many jobs are looked at for what one that is waited for needs.
MAX_NEEDED = 1_000


@dataclass(frozen=True, slots=True)
class _Outcome:
    """How a parent has ended."""

    id: str
    # Why its children cannot be run, or None.
    failure: str | None
    is_gone: bool = False


class Dependencies:
    """The edges between the jobs and groups of one store."""

    def __init__(
        self, connection: Connection, jobs: JobRecords, batches: JobBatches, tree: JobTree
    ) -> None:
        self._connection, self._keys, self._redis = connection, connection.keys, connection.redis
        self._jobs, self._batches, self._tree = jobs, batches, tree
        self._thread = threading.local()

    # Looking

    def children(self, id: str) -> list[Info]:
        """Return the jobs that wait or have waited for a job or group, the oldest first."""
        infos = self._infos(self._members(self._keys.children(id)))
        return sorted(infos, key=lambda info: info.date_created or "")

    def parents(self, info: Info) -> list[Info]:
        """Return the jobs and groups that a job waits or has waited for, which there are still."""
        return self._infos(info.after)

    def blocked(self) -> list[Info]:
        """Return jobs that wait for others, the oldest first."""
        with self._connection.translated_errors():
            found: Any = self._redis.zrange(self._keys.blocked, 0, MAX_NEEDED - 1)
        return self._infos([QueuedAttempt.parse(raw).id for raw in found])

    def awaited_by(self, infos: Sequence[Info]) -> set[str]:
        """Return the ids of these and of all that they wait for, as far as that has not ended."""
        seen, level = set[str](), list(infos)
        while level and len(seen) < MAX_NEEDED:
            seen.update(each.id for each in level)
            inside = [
                each
                for each in (self.blocked() if any(one.is_group for one in level) else ())
                if seen & set(each.ancestors)
            ]
            after = [id for each in (*level, *inside) if not each.finished for id in each.after]
            level = self._infos([id for id in dict.fromkeys(after) if id not in seen])
        return seen

    def needed_for(self, info: Info) -> list[Info]:
        """Return a queued job and the queued ones that it waits for, which come first."""
        found = {info.id: info}
        level = [info]
        while level and len(found) < MAX_NEEDED:
            parents = self._infos([id for each in level for id in each.after if id not in found])
            inside = [self._tree.descendants(each)[0] for each in parents if each.is_group]
            level = [
                each
                for each in (*parents, *(job for group in inside for job in group))
                if each.state is State.QUEUED and each.id not in found
            ]
            found.update((each.id, each) for each in level)
        return list(reversed(found.values()))

    def inputs(self, ids: Mapping[str, str]) -> dict[str, Any]:
        """Return by name what jobs returned; of a group, a list of what those directly in it did.

        What did not succeed is None, and left out of such a list.
        """
        results = {info.id: self._result(info) for info in self._infos(list(ids.values()))}
        return {name: results.get(id) for name, id in ids.items()}

    def _result(self, info: Info) -> Any:
        if not info.is_group:
            return info.result if info.state is State.SUCCESS else None
        with self._connection.translated_errors():
            members: Any = self._redis.zrange(self._keys.order(info.id), 0, -1)
        infos = self._infos(list(map(text_of, members)))
        by_id = {each.id: each for each in infos}
        # A job stands at the place of the one that it runs instead of.
        instead = {each.retried: each.id for each in infos if each.retried in by_id}
        firsts = [each for each in infos if each.id not in instead]
        lasts = [_last_retry(each, by_id) for each in firsts]
        return [each.result for each in lasts if each.state is State.SUCCESS]

    def _infos(self, ids: Sequence[str]) -> list[Info]:
        return [info for info in self._jobs.get_many(ids) if info is not None]

    def _members(self, key: str) -> list[str]:
        with self._connection.translated_errors():
            found: Any = self._redis.smembers(key)
        return list(map(text_of, found))

    # Settling

    def settle(self) -> None:
        """Let what waits for jobs and groups that have ended go on, or end it."""
        if getattr(self._thread, "settles", False):
            return  # what it has ended itself is noted, and comes next
        self._thread.settles = True
        try:
            self._settle_all()
        finally:
            self._thread.settles = False

    def _settle_all(self) -> None:
        while entries := self._ended_parents():
            for id in dict.fromkeys(text_of(entry).partition(":")[2] for entry in entries):
                self._settle_children(self._outcome(id))
            with self._connection.translated_errors():
                pipeline = self._redis.pipeline(transaction=False)
                for entry in entries:
                    pipeline.lrem(self._keys.ended_parents, 1, entry)
                pipeline.execute()

    def review(self) -> None:
        """Note again which parents have ended, or are gone, of what still waits for them."""
        for info in self.blocked():
            ids = self._members(self._keys.waits(info.id))
            parents = {each.id: each for each in self._infos(ids)}
            ended = [id for id in ids if id not in parents or self._has_ended(parents[id])]
            if ended:
                with self._connection.translated_errors():
                    self._redis.rpush(self._keys.ended_parents, *(f"0:{id}" for id in ended))

    def _ended_parents(self) -> list[Any]:
        with self._connection.translated_errors():
            found: Any = self._redis.lrange(self._keys.ended_parents, 0, BATCH_SIZE - 1)
        return list(found)

    def _has_ended(self, info: Info) -> bool:
        return not self._tree.has_unfinished(info.id) if info.is_group else info.finished

    def _outcome(self, id: str) -> _Outcome:
        info = self._jobs.get(id)
        if info is None:
            return _Outcome(id, "What it waited for was removed.", is_gone=True)
        if info.is_group:
            bad = replace(info, totals=self._tree.totals(id)).count_below(
                (*BAR_PARTS["failed"], *BAR_PARTS["cancelled"])
            )
            failure = f"{bad} jobs of its parent {info.name!r} did not succeed." if bad else None
            return _Outcome(id, failure)
        if info.state is State.SUCCESS:
            return _Outcome(id, None)
        return _Outcome(id, f"Its parent {info.name!r} {_END_WORDS.get(info.state, 'failed')}.")

    def _settle_children(self, parent: _Outcome) -> None:
        children = self._waiting_children(parent.id)
        skipped = [info for info in children if parent.failure and info.on_failure == SKIP]
        self._batches.change(skipped, partial(_skipped, parent))
        others = [info for info in children if not parent.failure or info.on_failure == RUN]
        for start in range(0, len(others), BATCH_SIZE):
            self._release(parent.id, others[start : start + BATCH_SIZE])
        if parent.is_gone:
            with self._connection.translated_errors():
                self._redis.delete(self._keys.children(parent.id))

    def _waiting_children(self, parent: str) -> list[Info]:
        """Return the children that still wait for a parent, the oldest first."""
        ids = self._members(self._keys.children(parent))
        with self._connection.translated_errors():
            pipeline = self._redis.pipeline(transaction=False)
            for id in ids:
                pipeline.sismember(self._keys.waits(id), parent)
            waits = pipeline.execute()
        infos = self._infos([id for id, is_waiting in zip(ids, waits, strict=True) if is_waiting])
        waiting = [info for info in infos if not info.finished]
        return sorted(waiting, key=lambda info: info.date_created or "")

    def _release(self, parent: str, children: Sequence[Info]) -> None:
        """Let jobs wait for one of their parents no more."""
        with self._connection.translated_errors():
            pipeline = self._redis.pipeline(transaction=False)
            for info in children:
                pipeline.smembers(self._keys.waits(info.id))
            waits = [set(map(text_of, found)) - {parent} for found in pipeline.execute()]
        left = {info.id: ids for info, ids in zip(children, waits, strict=True)}
        names = {each.id: each.name for each in self._infos([id for ids in waits for id in ids])}
        self._batches.change(children, lambda info: _waiting(info, left[info.id], names))
        self._connection.run_scripts([self._releasing(parent, info) for info in children])

    def _releasing(self, parent: str, info: Info) -> ScriptCall:
        args = {
            "id": info.id,
            "parent": parent,
            "member": member(info),
            **lane_args(info),
            "delay": delay_of(info),
            **self._connection.queue_args,
        }
        return ScriptCall("release", {}, args)


_END_WORDS: dict[State | None, str] = {State.CANCELLED: "was cancelled", State.LOST: "was lost"}


def waiting_status(parents: Sequence[str]) -> str:
    """Return the status of a job that waits for parents of these names; Queued if for none."""
    if not parents:
        return State.QUEUED.status
    return f"Waits for {parents[0] if len(parents) == 1 else f'{len(parents)} jobs'}"


def _waiting(info: Info, parents: set[str], names: dict[str, str]) -> Info | None:
    status = waiting_status([names.get(id, "another job") for id in parents])
    is_told = info.state is not State.QUEUED or info.status == status
    return None if is_told else info.changed(status=status)


def _skipped(parent: _Outcome, info: Info) -> Info | None:
    if info.state is not State.QUEUED:
        return None
    return info.ended(State.CANCELLED, result=parent.failure, failed_parent=parent.id)


def _last_retry(info: Info, by_id: dict[str, Info]) -> Info:
    while (later := by_id.get(info.retried or "")) is not None:
        info = later
    return info
