"""Give a true end, or another try, to jobs whose engine died, and call workers to what waits.

Everything here may be done at any time, by any number of processes at once: an attempt is handed
out once, and a job's end is written once. What is to be known of time is how long a lease stands
still, by the clock of this process: that of Redis may jump.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence

from moi_django.cluster import connections, dispatch
from moi_django.cluster.leases import LeaseObserver
from moi_django.cluster.limits import publish_limits, publish_limits_of_held
from moi_django.conf import conf
from moi_django.exceptions import MoiError, StoreUnavailable, UnknownContext
from moi_django.models import Info, State
from moi_django.site_store import get_store
from moi_django.store import policy
from moi_django.store.queue import CALL, Hold, QueuedAttempt, split_queue

logger = logging.getLogger(__name__)

# Seconds between two rounds.
RECONCILE_INTERVAL = 1.0
# Seconds after which a call that no engine has followed is made again.
CALL_PATIENCE = 10.0
# Seconds between two renewals of what is unfinished; a quarter of EXPIRE, if that is less.
RENEW_INTERVAL = 3600.0
# How many waiting jobs of a queue say what they wait for: the next ones.
EXPLAINED = 100


class Reconciler:
    """Looks after the unfinished jobs of one site; `say` takes a line for each thing it does.

    The `tasks` of optional parts are called in each round.
    """

    def __init__(
        self,
        say: Callable[[str], object] = logger.info,
        tasks: Sequence[Callable[[], object]] = (),
    ) -> None:
        self._say, self._tasks = say, tasks
        self._renews_at = 0.0
        # What the controllers have said in this round, by context.
        self._engines: dict[str, set[str] | None] = {}
        self._spoilt: set[str] = set()
        self._forget_leases()

    def _forget_leases(self) -> None:
        self._attempts, self._workers = LeaseObserver(), dict[str, LeaseObserver]()

    def run_until(self, stop: threading.Event) -> None:
        """Look again and again until told to stop."""
        told = ""
        while not stop.is_set():
            try:
                self.reconcile()
                told = ""
            except MoiError as error:
                # Engines, too, may have been unable to renew their leases.
                self._forget_leases()
                if str(error) != told:
                    told = str(error)
                    self._say(f"cannot look after jobs: {told}")
            except Exception:
                logger.exception("Cannot look after some jobs")
            stop.wait(RECONCILE_INTERVAL)

    def reconcile(self) -> None:
        """Do what is to be done now. Raises StoreUnavailable or NotRunning."""
        self._engines.clear()
        publish_limits()
        self._enqueue_due()
        get_store().dependencies.settle()
        for attempt in self._attempts.overdue(get_store().queue.running(), lambda _: conf.LEASE):
            self._end_lost(attempt)
        for queue in get_store().queue.names():
            self._try(publish_limits_of_held, queue)
            self._try(get_store().queue.review, queue)
            self._try(self._drop_lost_workers, queue)
            self._try(self._call_workers, queue)
        for task in self._tasks:
            self._try(task)
        if time.monotonic() >= self._renews_at:
            self._renews_at = time.monotonic() + min(RENEW_INTERVAL, conf.EXPIRE / 4)
            self._try(get_store().queue.renew_unfinished)
            self._try(get_store().dependencies.review)

    def _try(self, operation: Callable[..., object], *what: object) -> None:
        """Do one of several things; what another program has spoilt for one is said once."""
        try:
            operation(*what)
        except StoreUnavailable as error:
            if str(error) not in self._spoilt:
                self._spoilt.add(str(error))
                self._say(f"cannot look after some jobs: {error}")

    def _enqueue_due(self) -> None:
        """Let delayed attempts wait whose time has come."""
        due = get_store().queue.due()
        infos = get_store().jobs.get_many([attempt.id for attempt in due])
        for attempt, info in zip(due, infos, strict=True):
            if info is None or (info.state, info.attempt) != (State.QUEUED, attempt.attempt):
                get_store().queue.discard(attempt)
            elif get_store().queue.enqueue(attempt, info):
                self._say(f"job {attempt.id} is run again")

    def _end_lost(self, attempt: QueuedAttempt) -> None:
        """End an attempt whose engine renews its lease no more."""
        info = get_store().jobs.get(attempt.id)
        if info is None or (info.state, info.attempt) != (State.RUNNING, attempt.attempt):
            get_store().queue.discard(attempt)
            return
        is_there = info.engine in (self._engines_of(info.context or "") or ())
        reason = dispatch.ENGINE_SILENT if is_there else dispatch.ENGINE_GONE
        dispatch.mark_lost(info.id, info.attempt, reason)
        self._say(f"job {info.id} lost its engine")

    def _drop_lost_workers(self, queue: str) -> None:
        """Count no more on engines that are gone, nor on calls that were lost."""
        observer = self._workers.setdefault(queue, LeaseObserver())
        for worker in observer.overdue(get_store().queue.workers(queue), _patience):
            get_store().queue.leave(queue, worker)

    def _call_workers(self, queue: str) -> None:
        """Call workers to what waits; let it say what it waits for when there are none."""
        waiting = get_store().queue.first_waiting(queue, EXPLAINED)
        if not waiting:
            return
        context, python = split_queue(queue)
        targets = self._engines_of(context)
        if targets is None:
            return  # it may say so later
        for worker in get_store().queue.workers(queue):
            if targets and not worker.startswith(CALL) and worker not in targets:
                get_store().queue.leave(queue, worker)
        fitting = sorted(targets - self._of_other_pythons(targets, python))
        refusals = get_store().engines.refusals() if fitting else {}
        if fitting and refusals.keys() >= set(fitting):
            reason = f"Waits for an engine that can run it: {refusals[fitting[0]]}"
            self._explain(waiting, [reason[: conf.STATUS_LIMIT]] * len(waiting))
        elif fitting:
            holds = get_store().queue.holds(waiting)
            self._explain(waiting, [_held_status(hold, context) for hold in holds])
        else:
            self._explain(waiting, [_missing_status(targets, context, python)] * len(waiting))
        present = get_store().policy.read()
        fitting = [id for id in fitting if id not in refusals and policy.drained(id) not in present]
        if fitting and dispatch.call_workers(queue, fitting):
            logger.info("Called workers to queue %s", queue)

    def _engines_of(self, context: str) -> set[str] | None:
        """Return the ids of the engines of a context; None while its controller does not answer.

        It is asked once in a round, however many jobs were lost.
        """
        if context not in self._engines:
            try:
                self._engines[context] = connections.get_connection(context).engine_ids()
            except UnknownContext:
                self._engines[context] = set()
        return self._engines[context]

    def _of_other_pythons(self, engines: set[str], python: str) -> set[str]:
        reports = get_store().engines.reports()
        known = {id: reports[id].metrics.python for id in engines & reports.keys()}
        return {
            id for id, said in known.items() if said and said.split(".")[:2] != python.split(".")
        }

    def _explain(self, waiting: list[QueuedAttempt], statuses: list[str]) -> None:
        """Let waiting jobs say what they wait for."""
        wanted = {attempt.id: status for attempt, status in zip(waiting, statuses, strict=True)}

        def explained(info: Info) -> Info | None:
            is_told = info.state is not State.QUEUED or info.status == wanted[info.id]
            return None if is_told else info.changed(status=wanted[info.id])

        infos = get_store().jobs.get_many(list(wanted))
        get_store().batches.change([info for info in infos if info is not None], explained)


def _patience(worker: str) -> float:
    return CALL_PATIENCE if worker.startswith(CALL) else conf.LEASE


def _held_status(hold: Hold | None, context: str) -> str:
    """Return the status of what waits for its turn, or cannot begin for another reason."""
    if hold is Hold.PAUSED:
        return f"Waits until {context!r} is resumed"
    if hold is Hold.LIMIT:
        return "Waits for a place among those of its limit"
    return "Waits for another job of its owner to end" if hold else State.QUEUED.status


def _missing_status(engines: set[str], context: str, python: str) -> str:
    """Return the status of what no engine can run now."""
    if engines:
        return f"Waits for an engine with Python {python}"
    return f"Waits for an engine of {context!r}"
