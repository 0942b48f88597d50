"""Jobs as submit() writes them, without an engine that would run them."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from moi_django import Group
from moi_django.models import GROUP, JOB, Info, State, now
from moi_django.store import Store


def new_job(parent: Info, name: str = "a job", **fields: Any) -> Info:
    """Return a job in a group, not written yet."""
    id = str(uuid.uuid4())
    given = {"status": "Queued", "state": State.QUEUED, "date_created": now(), **fields}
    return Info(
        id=id,
        name=name,
        type=JOB,
        pubsub=f"{id}:pubsub",
        parent=parent.id,
        path=f"{parent.path}:{id}",
        **given,
    )


def new_group(id: str, parent: Info | None = None) -> Info:
    """Return a group in a group, or a root group; not written yet."""
    return Info(
        id=id,
        name=id,
        type=GROUP,
        pubsub=f"{id}:pubsub",
        parent=parent.id if parent else None,
        path=f"{parent.path}:{id}" if parent else id,
        date_created=now(),
    )


def job_in(store: Store, group: Group, name: str = "a job", **fields: Any) -> Info:
    """Write a job into a group."""
    info = new_job(group.info, name, **fields)
    store.jobs.create(info)
    return info


def many_jobs_in(store: Store, group: Group, number: int) -> list[Info]:
    """Write so many jobs into a group, from several threads."""
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda n: job_in(store, group, f"job {n}"), range(number)))


def mark_retried(store: Store, id: str, new: str) -> bool:
    """Let a job that has ended say that it was run again; tell whether that was free to do."""
    before = store.jobs.get(id)
    if before is None or not before.finished or before.retried:
        return False
    after = before.changed(retried=new)
    call = store.jobs.replacement(before.to_json().encode(), before, after)
    return store.connection.run_scripts([call]) == [1]


def finish(store: Store, job: Info, state: State = State.SUCCESS, result: Any = None) -> Info:
    """Give a job its end."""
    return store.jobs.change(
        job.id,
        lambda info: info.changed(
            state=state, status=state.status, result=result, date_start=now(), date_end=now()
        ),
    )
