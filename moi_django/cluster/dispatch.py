"""Bring jobs to their engines: let them wait in Redis, call workers, end those that got lost."""

import logging
import threading
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress

from moi_django.cluster import connections
from moi_django.cluster.leases import LeaseObserver
from moi_django.cluster.limits import publish_limits_for
from moi_django.cluster.payloads import payload_keys, sign_payload, verify_payload
from moi_django.conf import DEFAULT_CONTEXT, conf
from moi_django.engine.payloads import Payload
from moi_django.engine.work_spec import Limits, WorkSpec
from moi_django.exceptions import (
    ClusterUnavailable,
    InvalidJob,
    JobNotFound,
    MoiError,
    PayloadRefused,
)
from moi_django.models import Info, State, about
from moi_django.site_store import engine_store_config, get_store
from moi_django.store.job_records import CREATED_AT_ONCE
from moi_django.store.queue import CALL, split_queue

logger = logging.getLogger(__name__)

# Seconds between two looks at leases.
LEASE_INTERVAL = 1.0

ENGINE_GONE = "The engine that ran this job is gone."
ENGINE_SILENT = (
    "The engine that ran this job is there and says nothing of it any more: it was frozen or cut "
    "off, or could not write how the job ended, as when Redis is away for longer than "
    'MOI["RESULT_PATIENCE"].'
)


def enqueue(info: Info, payload: Payload, instead_of: str | None = None) -> None:
    """Create a job, let it wait, and call a worker if an engine has nothing to do.

    Where no cluster is there now, it waits until there is one. `instead_of` is the id of a job that
    has ended and which it runs again; raises InvalidJob when that has been retried or removed
    meanwhile.
    """
    connection = connections.get_connection(payload.context)
    engines, uncalled = connection.count_engines(info.queue)
    publish_limits_for(info)
    jobs, signed, call = get_store().jobs, sign_payload(info, payload), new_call()
    engines = engines if uncalled else 0
    if instead_of is None:
        is_called: bool | None = jobs.create(info, signed, engines, call)
    else:
        is_called = jobs.create_instead(instead_of, info, signed, engines, call)
    if is_called is None:
        raise InvalidJob(f"Job {instead_of} was retried or removed by somebody else just now.")
    if is_called:
        call_worker(info.queue, call)
    # The others may have ended before, or calls meanwhile: what was to follow them came too early.
    elif info.after or (not uncalled and connection.count_engines(info.queue)[1]):
        call_workers(info.queue)


def enqueue_many(jobs: Sequence[tuple[Info, bytes]]) -> None:
    """Create jobs of one queue, each with its signed payload if it is to run; call workers."""
    for start in range(0, len(jobs), CREATED_AT_ONCE):
        publish_limits_for(jobs[start][0])
        try:
            get_store().jobs.create_many(jobs[start : start + CREATED_AT_ONCE])
        finally:  # of a chunk that is not created as a whole, some jobs are
            call_workers(jobs[start][0].queue)


def enqueue_instead(retries: Sequence[tuple[Info, Info, Payload]]) -> list[bool]:
    """Create jobs that run instead of others: (other, job, payload), and call workers.

    Tells of each whether it was done: not when the other one was changed or removed meanwhile.
    """
    signed = [(old, info, sign_payload(info, payload)) for old, info, payload in retries]
    done = get_store().batches.create_instead(signed)
    for queue in {info.queue for _, info, _ in retries}:
        call_workers(queue)
    return done


def new_call() -> str:
    """Return a name for a call, or for what those of several begin with."""
    return f"{CALL}{uuid.uuid4()}"


def call_worker(queue: str, call: str, targets: list[str] | None = None) -> None:
    """Ask an engine to work on a queue, any one unless there are `targets`.

    Should the cluster be gone, the jobs wait.
    """
    try:
        _connection_for(queue).call_worker(
            _work_spec(queue),
            queue,
            call,
            targets,
            on_more=lambda: _call_more(queue, targets),
            on_engine_death=_watch_leases,
        )
    except ClusterUnavailable as error:
        logger.warning("Jobs wait: %s", error)
        with suppress(MoiError):  # else the call counts as lost after a while
            get_store().queue.leave(queue, call)


def call_workers(queue: str, targets: list[str] | None = None) -> int:
    """Call workers for what waits in a queue, as far as there are engines; return how many."""
    engines, uncalled = _connection_for(queue).count_engines(queue)
    if targets is not None:
        engines = min(engines, len(targets))
    calls = get_store().queue.note_calls(queue, engines, uncalled, new_call())
    for call in calls:
        call_worker(queue, call, targets)
    return len(calls)


def _call_more(queue: str, targets: list[str] | None) -> None:
    """Call workers for what an engine has left, but none that has left it as it cannot run jobs."""
    if refused := set(get_store().engines.refusals()):
        targets = sorted(set(targets or _connection_for(queue).engine_ids() or ()) - refused)
    call_workers(queue, targets)


def _context_of(queue: str) -> str:
    return split_queue(queue)[0] or DEFAULT_CONTEXT


def _connection_for(queue: str) -> connections.ClusterConnection:
    return connections.get_connection(_context_of(queue))


def _watch_leases() -> None:
    """End what an engine ran that has just died, when its leases have stood still for a while."""
    threading.Thread(target=_end_lost, daemon=True, name="moi-leases").start()


def _end_lost() -> None:
    observer, patience = LeaseObserver(), conf.LEASE
    interval = min(LEASE_INTERVAL, patience / 4)
    try:
        while observer.watched < patience + interval:
            for attempt in observer.overdue(get_store().queue.running(), lambda _: patience):
                mark_lost(attempt.id, attempt.attempt, ENGINE_GONE)
            time.sleep(interval)
    except MoiError as error:
        logger.warning("Jobs are left to the reconciler: %s", error)


def _work_spec(queue: str) -> WorkSpec:
    return WorkSpec(
        store=engine_store_config(),
        contexts=connections.contexts_beside(_context_of(queue)),
        keys=payload_keys(),
        limits=Limits(conf.RESULT_LIMIT, conf.STATUS_LIMIT, conf.LOG_LIMIT, conf.DISPLAY_LIMIT),
        attachment_storage=conf.get_attachment_storage(),
        grace=conf.CANCEL_GRACE,
        patience=conf.RESULT_PATIENCE,
        linger=conf.LINGER,
        turn=conf.WORK_TURN,
        preload=tuple(conf.PRELOAD),
        memory_limit=conf.MEMORY_LIMIT,
        code=conf.describe_code(),
        proof=conf.describe_proof(),
    )


def mark_lost(id: str, attempt: int, reason: str) -> None:
    """End an attempt that got lost; the job is run again if it asked for that."""
    info = get_store().jobs.get(id)
    if info is None or info.finished or info.attempt != attempt:
        return
    payload = _rerun_payload(info)
    rerun = payload is not None and payload.options.retry_on_lost

    def to_end(info: Info) -> Info | None:
        if info.attempt != attempt or info.state is not State.RUNNING:
            return None
        if rerun and info.attempt < info.attempts:
            return info.requeued(State.LOST, reason)
        return info.ended(State.LOST, result=reason)

    delay = payload.options.backoff_seconds(attempt) if payload else 0.0
    try:
        get_store().jobs.change(id, to_end, delay=delay)
        logger.warning("Job %s got lost: %s", id, reason, extra=about(info))
        if info.engine:
            get_store().queue.leave(info.queue, info.engine)
    except JobNotFound:
        logger.info("Job %s was lost after its removal: %s", id, reason, extra=about(info))


def _rerun_payload(info: Info) -> Payload | None:
    """Return the payload of a job that may be run again, if it is there and ours."""
    if info.attempt >= info.attempts:
        return None
    try:
        return verify_payload(info, get_store().jobs.payload(info.id))
    except PayloadRefused as error:
        logger.error("%s", error, extra=about(info))
        return None
