"""A backend without engines: a job runs in who submits it, by the code of the engines.

What is submitted waits in its queue as ever, and is claimed there at once.
"""

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from contextvars import ContextVar
from math import inf
from typing import Any

from moi_django.cluster import dispatch
from moi_django.cluster.connections import ClusterConnection
from moi_django.conf import conf
from moi_django.contrib.events.reader import deliver_all
from moi_django.contrib.events.registry import consumers
from moi_django.contrib.testing.caller_attempt import CallerAttempt
from moi_django.engine.attempt_runner import Resources, new_token
from moi_django.engine.current import current_job
from moi_django.engine.heartbeat import Heartbeat
from moi_django.engine.pickling import PYTHON_VERSION
from moi_django.engine.process_pool import ProcessPool
from moi_django.engine.work_spec import WorkSpec
from moi_django.exceptions import ClusterUnavailable, InvalidJob
from moi_django.models import State, error_line_of, now
from moi_django.site_store import get_store
from moi_django.store.connection import Wait
from moi_django.store.queue import Claim, Worker, split_queue

logger = logging.getLogger(__name__)

# What such jobs have run on.
ENGINE = "caller"
# There is always one that has nothing to do; a job may submit others while it runs.
ENGINES = 1_000_000

_holds = 0
# How many jobs run that wait for what runs here.
_running_above = ContextVar("moi_running_above", default=0)


@contextmanager
def _one_within() -> Iterator[None]:
    token = _running_above.set(_running_above.get() + 1)
    try:
        yield
    finally:
        _running_above.reset(token)


@contextmanager
def holding() -> Iterator[None]:
    """Let what is submitted in the block wait."""
    global _holds
    _holds += 1
    try:
        yield
    finally:
        _holds -= 1


class ImmediateConnection(ClusterConnection):
    """Stands where others have the connection to a cluster."""

    def connect(self) -> Any:
        """Raise ClusterUnavailable."""
        raise ClusterUnavailable("The jobs of this context run in who submits them.")

    def engine_ids(self) -> set[str] | None:
        """Return none."""
        return set()

    def count_engines(self, queue: str) -> tuple[int, int]:
        """Return many, none of which has to be called twice."""
        return ENGINES, 1

    def call_worker(self, spec: WorkSpec, queue: str, call: str, *others: Any, **more: Any) -> None:
        """Run what waits, and what that lets begin."""
        store = get_store()
        store.queue.leave(queue, call)
        worker, heartbeat = Worker(queue, ENGINE), Heartbeat(store, ENGINE)
        resources = Resources(spec, worker, store, heartbeat, ProcessPool(()))
        while claim := _claim_next():
            with closing(CallerAttempt(claim, resources)) as attempt, _one_within():
                attempt.write_end(end := attempt.run())
            if end.state is State.FAILED:
                why = error_line_of(str(end.result))
                logger.warning("Job %r has failed: %s", claim.info.name, why)
            if attempt.interrupt is not None:
                raise attempt.interrupt
        tell_events()

    def wait_for_change(self, heard: Wait, seconds: float | None) -> None:
        """Run what waits; raise when nothing does that could end the wait."""
        if run_waiting() or len(get_store().queue.running()) > _running_above.get():
            heard(seconds if seconds is None else min(seconds, 0.1))
        elif seconds is not None:
            raise TimeoutError("Nothing in this process will run the job within that time.")
        else:
            raise InvalidJob(
                "This wait would never end: the job is held, paused or to begin later. Jobs run in "
                "who submits them here: let it run before, as `moi_django.test.run_jobs()` does."
            )


@contextmanager
def postponed_run() -> Iterator[None]:
    """Run what is submitted in the block after it."""
    with holding():
        yield
    run_waiting()


def tell_events() -> None:
    """Hand over what has become of jobs, unless one of them is running here."""
    if consumers() and current_job() is None:
        deliver_all()


def run_waiting() -> bool:
    """Run what may begin now; tell whether there was anything."""
    if _holds:
        return False
    _enqueue_due()
    return sum(dispatch.call_workers(queue) for queue in _queues()) > 0


def run_held() -> None:
    """Run what was held, and what is to begin later as far as it is known now."""
    global _holds
    held, _holds = _holds, 0
    try:
        _enqueue_due(inf)
        run_waiting()
    finally:
        _holds = held
    tell_events()


def _queues() -> list[str]:
    """Return the queues whose jobs run here."""
    found = []
    for queue in get_store().queue.names():
        context, python = split_queue(queue)
        is_known = python == PYTHON_VERSION and context in conf.CONTEXTS
        if is_known and conf.context(context).get("BACKEND") == "immediate":
            found.append(queue)
    return found


def _claim_next() -> Claim | None:
    store = get_store()
    while not _holds:
        for queue in _queues():
            worker = Worker(queue, ENGINE)
            if claim := store.queue.claim(worker, new_token(), now(), leaves=True):
                return claim
        if not _enqueue_due():
            break
    return None


def _enqueue_due(until: float | None = None) -> bool:
    """Let delayed attempts wait whose time has come, or which are repeated: that is not waited for.

    Tells whether there was one.
    """
    store = get_store()
    if not (delayed := store.queue.due(inf)):
        return False
    due = {each for each in delayed if each.attempt > 1} | {*store.queue.due(until)}
    infos = store.jobs.get_many([attempt.id for attempt in due])
    pairs = zip(due, infos, strict=True)
    waiting = [pair for pair in pairs if pair[1] and pair[1].state is State.QUEUED]
    return sum(store.queue.enqueue(attempt, info) for attempt, info in waiting if info) > 0
