"""The queues: which attempts wait, are delayed and run, and which engines are at work on them."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from moi_django.models import Info, State
from moi_django.store.connection import CONNECTION_OPTIONS, Connection
from moi_django.store.job_records import JobRecords, parse_info
from moi_django.store.keys import member
from moi_django.store.record_args import lane_args
from moi_django.store.scripts import ScriptCall
from moi_django.validation import text_of

# How many attempts are handed out at once, and how many of those that run are looked at: there are
# about as many as engines.
BATCH_SIZE, MAX_RUNNING = 500, 5_000
# How the name of a call begins where those of engines stand, too.
CALL = "call:"
# The attempt of what is a member of a zset and none of ours.
FOREIGN = -1


def split_queue(name: str) -> tuple[str, str]:
    """Return the context and the version of Python of a queue; see `Info.queue`."""
    context, _, python = name.rpartition(":")
    return context, python


@dataclass(frozen=True, slots=True)
class QueuedAttempt:
    """One attempt of a job in one of the zsets."""

    id: str
    attempt: int

    @property
    def member(self) -> str:
        """What stands for it in the zset."""
        return self.id if self.attempt == FOREIGN else f"{self.attempt}:{self.id}"

    @classmethod
    def parse(cls, raw: bytes) -> "QueuedAttempt":
        """Return what a member of a zset stands for."""
        attempt, _, id = text_of(raw).partition(":")
        is_ours = attempt.isascii() and attempt.isdecimal() and len(attempt) < 16
        return cls(id, int(attempt)) if is_ours else cls(text_of(raw), FOREIGN)


class Hold(StrEnum):
    """Why a waiting attempt cannot begin, however many engines are free."""

    PAUSED = "paused"
    # As many jobs of its owner run as are allowed, or as many that need the same limit.
    OWNER = "owner"
    LIMIT = "limit"


class Claim(NamedTuple):
    """An attempt that was handed to a worker."""

    # As it is now: running.
    info: Info
    # The signed function and its arguments.
    payload: bytes
    # What an earlier attempt has kept last.
    checkpoint: bytes | None = None


@dataclass(frozen=True, slots=True)
class Worker:
    """An engine at a queue."""

    queue: str
    # Id that ipyparallel gave to the engine.
    engine: str
    # The call that it has followed.
    call: str = ""


class JobQueue:
    """The attempts that have not ended, in queues; and who works on them."""

    def __init__(self, connection: Connection, jobs: JobRecords) -> None:
        self._connection, self._keys, self._jobs = connection, connection.keys, jobs
        self._redis, self._config = connection.redis, connection.config

    # What workers do

    def claim(self, worker: Worker, token: str, date: str, leaves: bool = False) -> Claim | None:
        """Take the next waiting attempt, which is then running since `date`.

        Who asks again with the same token gets the same one. When none waits, the worker is noted
        as lingering; or, if it `leaves`, as gone.
        """
        [found] = self._connection.run_scripts([self._claiming(worker, token, date, leaves)])
        return self._parse_claim(found)

    def replace_and_claim(
        self, old: Info, new: Info, delay: float, worker: Worker, token: str, date: str
    ) -> tuple[bool, Claim | None]:
        """Write `new` if the store holds `old`, and claim, in one round trip.

        Tells whether it was written, as `JobRecords.change` writes it.
        """
        replacement = self._jobs.replacement(old.to_json().encode(), old, new, delay)
        present, found = self._connection.run_scripts(
            [replacement, self._claiming(worker, token, date, leaves=False)]
        )
        return self._jobs.is_written(present, new), self._parse_claim(found)

    def _claiming(self, worker: Worker, token: str, date: str, leaves: bool) -> ScriptCall:
        keys = {
            **self._worker_keys(worker.queue),
            "wake": self._keys.wake(worker.queue, ""),
            "claims": self._keys.claims,
            "jobs": self._keys.jobs,
        }
        args = {
            **self._connection.queue_args,
            "queue": worker.queue,
            "worker": worker.engine,
            "call": worker.call,
            "token": token,
            "date": date,
            "leaves": "1" if leaves else "",
        }
        return ScriptCall("claim", keys, args)

    def _worker_keys(self, queue: str) -> dict[str, str]:
        return {"workers": self._keys.workers(queue), "lingering": self._keys.lingering(queue)}

    def _parse_claim(self, found: Any) -> Claim | None:
        if found is None:
            return None
        info = parse_info(found[0])
        if info is None or info.state is not State.RUNNING:
            raise ValueError(f"what was claimed is no running job: {found[0][:200]!r}")
        return Claim(info, found[1] or b"", found[2])

    def claim_by_id(self, info: Info, engine: str, date: str) -> Claim | None:
        """Let an engine take a certain attempt, if it waits, or runs there already."""
        keys = {"jobs": self._keys.jobs}
        args = {
            "member": member(info),
            "worker": engine,
            "date": date,
            **self._connection.queue_args,
        }
        return self._parse_claim(self._connection.run_script("claim_by_id", keys, args))

    def linger(self, worker: Worker, seconds: float) -> bool:
        """Wait for the next attempt; tell whether there may be one."""
        client: Any = self._redis  # whose types know no list of strings
        key = self._keys.wake(worker.queue, worker.engine)
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            # An answer that takes longer than ANSWER_TIMEOUT is an error.
            patience = max(0.01, min(left, CONNECTION_OPTIONS["socket_timeout"] / 2))
            with self._connection.translated_errors():
                if client.blpop([key], timeout=patience) is not None:
                    return True
        return False

    def leave(self, queue: str, worker: str) -> int:
        """Note that a worker or a call is at a queue no more; return how many may begin."""
        keys = {**self._worker_keys(queue), "claims": self._keys.claims}
        args = {"worker": worker, "queue": queue, **self._connection.queue_args}
        return int(self._connection.run_script("leave", keys, args))

    def renew(self, info: Info) -> bool:
        """Renew the lease of an attempt; tell whether the attempt is still wanted."""
        keys = {
            "running": self._keys.running,
            "info": self._keys.info(info.id),
            **self._keys.artifacts(info.id),
            "unique": self._keys.unique(info.owner, info.unique or ""),
            "ancestors": self._keys.ancestors(info),
        }
        args = {"member": member(info), "lifetime": self._config.expire}
        return bool(self._connection.run_script("renew", keys, args))

    def renew_worker(self, worker: Worker) -> None:
        """Renew the lease of a worker, if it is at its queue."""
        key = self._keys.workers(worker.queue)
        with self._connection.translated_errors():
            self._redis.zadd(key, {worker.engine: 1}, xx=True, incr=True)
            self._redis.expire(key, self._config.expire)

    # What calls workers

    def note_calls(self, queue: str, engines: int, limit: int, call: str) -> list[str]:
        """Note a call for each attempt that may begin, as far as engines are without a worker.

        There are `limit` calls at most.

        Returns the calls that are to be made, whose names begin with `call`.
        """
        keys = {**self._worker_keys(queue), "wake": self._keys.wake(queue, "")}
        numbers = {"engines": engines, "limit": limit}
        args = {"queue": queue, **numbers, "call": call, **self._connection.queue_args}
        count = int(self._connection.run_script("call", keys, args))
        return [f"{call}:{number}" for number in range(1, count + 1)]

    # What the reconciler asks

    def names(self) -> list[str]:
        """Return the names of the queues."""
        with self._connection.translated_errors():
            found: Any = self._redis.smembers(self._keys.queues)
        return sorted(map(text_of, found))

    def due(self, until: float | None = None) -> list[QueuedAttempt]:
        """Return delayed attempts whose time has come, now or then, the longest overdue first."""
        until = self._connection.server_time() if until is None else until
        with self._connection.translated_errors():
            found: Any = self._redis.zrangebyscore(
                self._keys.delayed, "-inf", until, start=0, num=BATCH_SIZE
            )
        return [QueuedAttempt.parse(raw) for raw in found]

    def enqueue(self, attempt: QueuedAttempt, info: Info) -> bool:
        """Let a delayed attempt wait; tell whether it was this call that did."""
        keys = {"delayed": self._keys.delayed}
        args = {"member": attempt.member, **lane_args(info), **self._connection.queue_args}
        return bool(self._connection.run_script("enqueue", keys, args))

    def prefer(self, info: Info) -> bool:
        """Let a waiting job be the next of its queue; tell whether it waits."""
        args = {"member": member(info), **self._connection.queue_args}
        return bool(self._connection.run_script("prefer", {}, args))

    def held_owners(self, queue: str) -> set[str]:
        """Return the root groups of owners who run as many as are allowed, and have more."""
        with self._connection.translated_errors():
            found: Any = self._redis.smembers(f"{self._keys.prefix}held:{queue}")
        return {text_of(lane).partition(":")[0] for lane in found}

    def review(self, queue: str, renews: bool = False) -> None:
        """Let jobs go on that wait for a limit which is another now; renew what waits, or not."""
        args = {"queue": queue, "renews": "1" if renews else "", **self._connection.queue_args}
        self._connection.run_script("review", {}, args)

    def running(self) -> dict[QueuedAttempt, float]:
        """Return the attempts that run, each with its lease: a number that grows."""
        with self._connection.translated_errors():
            found: Any = self._redis.zrange(self._keys.running, 0, MAX_RUNNING - 1, withscores=True)
        return {QueuedAttempt.parse(raw): lease for raw, lease in found}

    def workers(self, queue: str) -> dict[str, float]:
        """Return the engines at a queue and the calls for one, each with its lease."""
        with self._connection.translated_errors():
            found: Any = self._redis.zrange(self._keys.workers(queue), 0, -1, withscores=True)
        return {text_of(raw): lease for raw, lease in found}

    def discard(self, attempt: QueuedAttempt) -> None:
        """Drop an attempt of a job that is gone or has gone on."""
        args = {"member": attempt.member, **self._connection.queue_args}
        self._connection.run_script("discard", {}, args)

    def first_waiting(self, queue: str, count: int = BATCH_SIZE) -> list[QueuedAttempt]:
        """Return the attempts that are next in a queue."""
        with self._connection.translated_errors():
            found: Any = self._redis.zrange(self._keys.waiting(queue), 0, count - 1)
        return [QueuedAttempt.parse(raw) for raw in found]

    def holds(self, attempts: Sequence[QueuedAttempt]) -> list[Hold | None]:
        """Return why each of some waiting attempts cannot begin; None if it can."""
        members = [attempt.member for attempt in attempts]
        args = {"members": members, **self._connection.queue_args}
        found = self._connection.run_script("holds", {}, args)
        return [Hold(text_of(hold)) if hold else None for hold in found]

    def renew_unfinished(self) -> None:
        """Renew the keys of all that waits or runs, so that none expires however long that is."""
        queues = self.names()
        zsets = [self._keys.blocked, self._keys.delayed, self._keys.running]
        for key in [*zsets, *map(self._keys.waiting, queues)]:
            start = 0
            while ids := self._ids_from(key, start):
                self._renew_keys(self._jobs.get_many(ids))
                start += BATCH_SIZE
        for queue in queues:
            self.review(queue, renews=True)

    def _ids_from(self, key: str, start: int) -> list[str]:
        with self._connection.translated_errors():
            found: Any = self._redis.zrange(key, start, start + BATCH_SIZE - 1)
        return [QueuedAttempt.parse(raw).id for raw in found]

    def _renew_keys(self, infos: Iterable[Info | None]) -> None:
        names = {
            name
            for info in infos
            if info is not None
            for name in (
                self._keys.info(info.id),
                self._keys.users,
                self._keys.jobs,
                self._keys.owner_jobs(info.owner),
                self._keys.jobs_in_state(info.state or ""),
                *self._keys.artifacts(info.id).values(),
                *self._keys.ancestors(info),
                *self._keys.slots(info),
                self._keys.waits(info.id),
                *map(self._keys.children, (info.id, *info.after)),
                self._keys.unique(info.owner, info.unique or ""),
            )
        }
        with self._connection.translated_errors():
            pipeline = self._redis.pipeline(transaction=False)
            for name in names:
                pipeline.expire(name, self._config.expire)
            pipeline.execute()

    # What an operator sees

    def waiting_count(self, context: str) -> int:
        """Return how many attempts wait for an engine of a context."""
        with self._connection.translated_errors():
            counts = [self._redis.zcard(self._keys.waiting(q)) for q in self.names_of(context)]
        return sum(map(int, counts))

    def names_of(self, context: str) -> list[str]:
        """Return the names of the queues of a context."""
        return [name for name in self.names() if split_queue(name)[0] == context]

    def longest_waiting(self, context: str) -> Info | None:
        """Return the job that is next in the queues of a context and has waited longest."""
        first = [a.id for q in self.names_of(context) for a in self.first_waiting(q, 1)]
        found = [info for info in self._jobs.get_many(first) if info is not None]
        return max(found, key=lambda info: info.waited_seconds(), default=None)

    def delayed_count(self) -> int:
        """Return how many attempts are to wait later."""
        with self._connection.translated_errors():
            return int(self._redis.zcard(self._keys.delayed))
