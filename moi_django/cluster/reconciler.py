"""Give a true end, or another try, to jobs whose engine, controller or submitter died.

Everything here may be done at any time, by any number of processes at once: an attempt that is sent
twice is started once, and a job's end is written once.
"""

import logging
import threading
import time
from collections.abc import Callable

from moi_django.cluster import connections, dispatch
from moi_django.conf import conf
from moi_django.exceptions import ClusterUnavailable, MoiError, UnknownContext
from moi_django.models import Info, State
from moi_django.site_store import engine_store_config, get_store
from moi_django.store.queue import QueuedAttempt

logger = logging.getLogger(__name__)

# Seconds between two rounds, and between two pulses of a context.
RECONCILE_INTERVAL, PULSE_INTERVAL = 1.0, 5
# Seconds by which clocks and queues may be off.
CLOCK_SLACK = 2.0
# Seconds between two searches for files whose jobs are gone, and for those Redis knows nothing of.
ORPHANED_FILES_INTERVAL, UNKNOWN_FILES_INTERVAL = 60.0, 600.0
# Seconds for which a controller may be silent before it counts as gone with all its engines.
CONTROLLER_SILENCE = 30.0


class Reconciler:
    """Looks after the unfinished jobs of one site; `say` takes a line for each thing it does."""

    def __init__(self, say: Callable[[str], object] = logger.info) -> None:
        self._say = say
        self._trusts_from = self._deletes_orphaned_at = self._deletes_unknown_at = 0.0
        # Contexts whose controller does not answer, and since when.
        self._silent: dict[str | None, float] = {}

    def run_until(self, stop: threading.Event) -> None:
        """Look again and again until told to stop."""
        told = ""
        while not stop.is_set():
            try:
                self.reconcile()
                told = ""
            except MoiError as error:
                # Engines, too, may have been unable to renew their leases.
                self._trusts_from = time.monotonic() + conf.LEASE
                if str(error) != told:
                    told = str(error)
                    self._say(f"cannot look after jobs: {told}")
            stop.wait(RECONCILE_INTERVAL)

    def reconcile(self) -> None:
        """Do what is to be done now. Raises StoreUnavailable or NotRunning."""
        for attempt in get_store().queue.due():
            self._resend_attempt(attempt, "is run again")
        # A Redis that was away has heard of no lease.
        if (
            time.monotonic() >= self._trusts_from
            and get_store().connection.server_uptime() > conf.LEASE
        ):
            self._check_running(get_store().queue.overdue())
        for context in conf.CONTEXTS:
            self._check_waiting(context)
        if time.monotonic() >= self._deletes_orphaned_at:
            self._deletes_orphaned_at = time.monotonic() + ORPHANED_FILES_INTERVAL
            self._delete_orphaned_files()

    def _check_running(self, attempts: list[QueuedAttempt]) -> None:
        """Find out which of these engines are dead."""
        alive: dict[str | None, set[str] | None] = {}
        infos = get_store().jobs.get_many([attempt.id for attempt in attempts])
        for attempt, info in zip(attempts, infos, strict=True):
            if info is None or info.state is not State.RUNNING or info.attempt != attempt.attempt:
                get_store().queue.discard(attempt)
                continue
            if info.context not in alive:
                alive[info.context] = self._known_engines(info.context)
            engines = alive[info.context]
            if engines is None:
                continue
            if info.engine not in engines:
                dispatch.mark_lost(info.id, info.attempt, dispatch.ENGINE_GONE)
                self._say(f"job {info.id} lost its engine")
            elif self._is_idle(info, attempt):
                dispatch.mark_lost(info.id, info.attempt, dispatch.END_UNKNOWN)
                self._say(f"job {info.id} is run no more and has no end")

    def _known_engines(self, context: str | None) -> set[str] | None:
        """Return the ids of the engines of a context; None as long as its controller may say."""
        try:
            engines = connections.get_connection(context or "").engine_ids()
        except UnknownContext:
            return set()
        if engines is not None:
            self._silent.pop(context, None)
            return engines
        since = self._silent.setdefault(context, time.monotonic())
        return None if time.monotonic() - since < CONTROLLER_SILENCE else set()

    def _is_idle(self, info: Info, attempt: QueuedAttempt) -> bool:
        """Tell whether an engine that is there runs this job no more.

        A function that never lets go of the interpreter keeps an engine from renewing the lease.
        """
        engine = info.engine or ""
        if get_store().engines.idle_since(engine) > attempt.at:
            return True
        self._pulse(info.context or "", engine)
        return False

    def _check_waiting(self, context: str) -> None:
        """Send again what the scheduler of a context has lost; find out whether it has."""
        for attempt in get_store().queue.passed_over(context, CLOCK_SLACK):
            self._resend_attempt(attempt, "was not with the scheduler and is sent again")
        since = get_store().queue.waiting_since(context)
        if since is not None and since < get_store().connection.server_time() - PULSE_INTERVAL:
            self._pulse(context)

    def _pulse(self, context: str, engine: str | None = None) -> None:
        if not get_store().engines.may_pulse(engine or context, PULSE_INTERVAL):
            return
        try:
            connections.get_connection(context).pulse(
                engine_store_config(), get_store().connection.server_time(), engine
            )
        except (ClusterUnavailable, UnknownContext) as error:
            logger.info("Cannot ask the cluster for jobs it has lost: %s", error)

    def _delete_orphaned_files(self) -> None:
        removed = unknown = 0
        try:
            removed = dispatch.get_attachment_storage().delete_orphaned(get_store())
            if conf.STRAY_FILES_AGE and time.monotonic() >= self._deletes_unknown_at:
                self._deletes_unknown_at = time.monotonic() + UNKNOWN_FILES_INTERVAL
                unknown = dispatch.get_attachment_storage().delete_unknown(
                    get_store(), conf.STRAY_FILES_AGE
                )
        except OSError as error:
            logger.warning("Cannot delete files: %s", error)
        for jobs, kind in ((removed, "removed"), (unknown, "unknown")):
            if jobs:
                self._say(f"the files of {jobs} {kind} jobs were deleted")

    def _resend_attempt(self, attempt: QueuedAttempt, what: str) -> None:
        try:
            if dispatch.resend_attempt(attempt):
                self._say(f"job {attempt.id} {what}")
        except (ClusterUnavailable, UnknownContext) as error:
            logger.info("Cannot send job %s: %s", attempt.id, error)
