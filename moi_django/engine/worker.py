"""What an engine does for a site: it runs what waits in a queue, one attempt after the other.

An engine does so within one ipyparallel task, `work`, and lets others have their turn after a
while. No code of users runs in this process: each attempt has a process of its own.
"""

import os
import time
from collections.abc import Callable
from contextlib import closing, suppress
from functools import lru_cache
from typing import Any

from moi_django.engine.attempt_runner import AttemptRunner, Resources, new_token, retry_while_away
from moi_django.engine.departure import leaving
from moi_django.engine.fork_client import SECRET_VARIABLES
from moi_django.engine.heartbeat import Heartbeat
from moi_django.engine.pickling import PYTHON_VERSION
from moi_django.engine.process_pool import ProcessPool
from moi_django.engine.work_spec import WorkSpec
from moi_django.exceptions import StoreUnavailable
from moi_django.models import now
from moi_django.store import Store, StoreConfig, policy
from moi_django.store.queue import Claim, Worker, split_queue

# Seconds for which an engine without a job waits for a Redis that is away.
AWAY_TIMEOUT = 10.0


def work(spec: WorkSpec, queue: str, call: str) -> bool:
    """Run what waits in a queue; tell whether there is more when others have their turn.

    `call` is what the site has noted this call as. Raises StoreUnavailable or NoProcess when this
    engine cannot run jobs; none has been claimed then.
    """
    for name in SECRET_VARIABLES:
        os.environ.pop(name, None)
    store = _open_store(spec.store)
    heartbeat = _get_heartbeat(spec.store)
    try:
        return _work(spec, queue, call, store, heartbeat)
    except BaseException:
        # Else it would count as one that is at the queue, or on its way there.
        for worker in (engine_id(), call):
            with suppress(StoreUnavailable):
                store.queue.leave(queue, worker)
        raise


def _work(spec: WorkSpec, queue: str, call: str, store: Store, heartbeat: Heartbeat) -> bool:
    if leaving.is_set() or split_queue(queue)[1] != PYTHON_VERSION:
        heartbeat.report(queue)
        store.queue.leave(queue, call)
        return False
    # Not to be waited for as a claim is.
    restart = policy.restart(engine_id())
    if retry_while_away(lambda: store.policy.has(restart), AWAY_TIMEOUT):
        _get_pool(spec.preload).close()  # no job runs here now
        _get_pool.cache_clear()
        heartbeat.report_code(queue, None)
        store.policy.stop(restart)
    pool = _get_pool(spec.preload)
    if spec.proof and (refusal := spec.proof.find_refusal(pool)):
        heartbeat.report_code(queue, heartbeat.code, refusal)
        return store.queue.leave(queue, call) > 0
    heartbeat.report_code(queue, spec.code and spec.code.find_loaded(pool.check().loaded))
    worker = Worker(queue, engine_id(), call)
    return _QueueWorker(Resources(spec, worker, store, heartbeat, pool)).run()


@lru_cache(maxsize=8)
def _open_store(config: StoreConfig) -> Store:
    """Return the connection of this process: a fresh one for each call would double its cost."""
    return Store(config)


@lru_cache(maxsize=8)
def _get_heartbeat(config: StoreConfig) -> Heartbeat:
    return Heartbeat(_open_store(config), engine_id())


@lru_cache(maxsize=4)
def _get_pool(preload: tuple[str, ...]) -> ProcessPool:
    return ProcessPool(preload)


@lru_cache(maxsize=1)
def engine_id() -> str:
    """Return the id under which ipyparallel knows this engine."""
    from ipykernel.kernelapp import IPKernelApp

    return str(IPKernelApp.instance().kernel.ident)


class _QueueWorker:
    """One call to a queue, from its first claim to its last."""

    def __init__(self, resources: Resources) -> None:
        self._resources, self._spec = resources, resources.spec
        self._worker, self._store = resources.worker, resources.store
        self._turn_ends_at = time.monotonic() + self._spec.turn

    def run(self) -> bool:
        """Run attempts until none waits, or the turn is over; tell whether some wait then."""
        with self._resources.heartbeat.at_queue(self._worker):
            # One that is called and finds nothing lets others have the engine at once.
            claim = self._claim(leaves=True)
            if claim is None:
                return False
            while not self._is_turn_over():
                if claim is not None:
                    claim = self._run_and_claim(claim)
                elif self._linger():
                    claim = self._claim()
                elif (claim := self._claim(leaves=True)) is None:
                    return False
            if claim is not None:
                self._run_and_claim(claim)  # which claims no more
            queue, engine = self._worker.queue, self._worker.engine
            return self._retry(lambda: self._store.queue.leave(queue, engine)) > 0

    def _is_turn_over(self) -> bool:
        return leaving.is_set() or time.monotonic() >= self._turn_ends_at

    def _linger(self) -> bool:
        left = min(self._spec.linger, self._turn_ends_at - time.monotonic())
        return self._retry(lambda: self._store.queue.linger(self._worker, max(0.01, left)))

    def _claim(self, leaves: bool = False) -> Claim | None:
        # The same one, however often it is asked for: an answer may get lost, and a job would be
        # lost with it that has not begun. So Redis is waited for as with a result.
        token = new_token()
        return retry_while_away(
            lambda: self._store.queue.claim(self._worker, token, now(), leaves), self._spec.patience
        )

    def _run_and_claim(self, claim: Claim) -> Claim | None:
        """Run an attempt, write its end, and claim the next one if the turn is not over."""
        with closing(AttemptRunner(claim, self._resources)) as attempt:
            end = attempt.run()
            if not self._is_turn_over() and not attempt.has_companions:
                return attempt.write_end_and_claim(end, self._worker)
            attempt.write_end(end)
        return None if self._is_turn_over() else self._claim()

    def _retry(self, operation: Callable[[], Any]) -> Any:
        return retry_while_away(operation, AWAY_TIMEOUT)
