"""Jobs in a queue, and engines that take them."""

import uuid
from typing import Any

from moi_django.models import Info, now
from moi_django.store import Store
from moi_django.store.keys import member
from moi_django.store.queue import Claim, Worker
from tests.helpers.records import new_job

# Its context is "lab".
QUEUE = "lab:3.11"


def job_for(parent: Info, name: str = "a job", **fields: Any) -> Info:
    """Return a job for the queue, not written yet."""
    return new_job(parent, name, **{"context": "lab", "python": "3.11", **fields})


def queued_job(store: Store, parent: Info, name: str = "a job", **fields: Any) -> Info:
    """Let a job wait in the queue."""
    job = job_for(parent, name, **fields)
    store.jobs.create(job, b"payload")
    return job


def claim(
    store: Store, engine: str = "one", token: str | None = None, leaves: bool = False
) -> Claim | None:
    """Take what is next for an engine."""
    worker = Worker(QUEUE, engine)
    return store.queue.claim(worker, token or uuid.uuid4().hex, now(), leaves)


def stand_first(store: Store, job: Info) -> None:
    """Put an attempt at the head of its lane, whatever its job is now."""
    redis, lane = store.connection.redis, f"{job.owner}:{job.limit or ''}"
    redis.zadd(store.keys.waiting(QUEUE), {member(job): 0})
    redis.zadd(f"{store.keys.prefix}lane:{QUEUE}:{lane}", {member(job): -1})
    redis.hincrby(f"{store.keys.prefix}limits:{QUEUE}", job.limit or "", 1)
    redis.hset(f"{store.keys.prefix}lanes", member(job), f"{QUEUE}\n{lane}")


def claim_all(store: Store, engine: str = "one") -> list[str]:
    """Take all that waits; return the ids."""
    ids = []
    while claimed := claim(store, engine):
        ids.append(claimed.info.id)
    return ids
