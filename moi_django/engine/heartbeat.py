"""Renew the leases of an engine from a thread beside its work, and interrupt what is not wanted.

By its leases others know that the engine lives. The thread also says how the engine is, and hears
of cancels.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from math import inf

from moi_django.engine.attempt_end import InterruptReason
from moi_django.engine.metrics import MetricsSampler
from moi_django.exceptions import StoreUnavailable
from moi_django.models import Info
from moi_django.store import Store
from moi_django.store.queue import Worker, split_queue

logger = logging.getLogger(__name__)

# Seconds between two attempts to reach a Redis that is away.
RETRY_INTERVAL = 0.5
# Seconds without work after which the thread ends: there may be many sites in an engine's life.
IDLE_TIMEOUT = 10.0
# Seconds within which this engine knows what it has claimed.
CLAIM_TIME = 5.0

Interrupt = Callable[[InterruptReason], object]


class Lease:
    """That an attempt runs here, until it is closed."""

    def __init__(self, info: Info, close: Callable[["Lease"], object]) -> None:
        self.info, self._close = info, close
        self._lock = threading.Lock()
        self._interrupt: Interrupt | None = None
        self._is_lost = False

    def interrupt_with(self, interrupt: Interrupt) -> None:
        """Call this when the attempt is not wanted any more, now if that is known already."""
        with self._lock:
            self._interrupt = interrupt
            is_lost = self._is_lost
        if is_lost:
            interrupt(InterruptReason.UNWANTED)

    def lose(self) -> None:
        """Interrupt the attempt."""
        with self._lock:
            was_lost, self._is_lost = self._is_lost, True
        if self._interrupt is not None and not was_lost:
            self._interrupt(InterruptReason.UNWANTED)

    def close(self) -> None:
        """Renew it no more."""
        self._close(self)


class Heartbeat:
    """Renews what a site has this engine do, from a thread that ends when there is nothing."""

    def __init__(self, store: Store, engine: str) -> None:
        self._store, self._engine = store, engine
        self._lock = threading.Lock()
        # What was known first is to be said first.
        self._reporting = threading.Lock()
        self._sampler = MetricsSampler(engine)
        self._context: str | None = None
        self._worker: Worker | None = None
        self._leases: list[Lease] = []
        # When somebody last let this engine look whether its jobs are wanted.
        self._asked_at = -inf
        self._idle_since = 0.0
        self._is_running = False
        # Digest of the code that jobs find here, and why none is taken.
        self.code: str | None = None
        self._refusal: str | None = None

    @contextmanager
    def at_queue(self, worker: Worker) -> Iterator[None]:
        """Renew the lease of a worker until the block ends."""
        with self._lock:
            self._worker = worker
            self._context = split_queue(worker.queue)[0]
            if not self._is_running:
                threading.Thread(
                    target=self._renew_until_idle, daemon=True, name="moi-heartbeat"
                ).start()
                self._is_running = True
        try:
            yield
        finally:
            with self._lock:
                self._worker = None
                self._idle_since = time.monotonic()

    def watch_over(self, info: Info) -> Lease:
        """Renew the lease of an attempt until it is closed."""
        lease = Lease(info, self._drop_lease)
        with self._lock:
            self._leases.append(lease)
            is_asked = time.monotonic() - self._asked_at < CLAIM_TIME
        if is_asked:  # perhaps about this one, when nobody here knew of it
            with suppress(StoreUnavailable):
                self._renew_lease(lease)
        return lease

    def watches_over(self, info: Info) -> bool:
        """Tell whether an attempt runs here."""
        with self._lock:
            held = [(lease.info.id, lease.info.attempt) for lease in self._leases]
        return (info.id, info.attempt) in held

    def _drop_lease(self, lease: Lease) -> None:
        with self._lock:
            self._leases.remove(lease)

    def report(self, queue: str | None = None) -> None:
        """Say how this engine is."""
        self._context = split_queue(queue)[0] if queue else self._context
        with self._reporting:
            said = self._sampler.sample(self._context, self.code, self._refusal)
            self._store.engines.report(said)

    def report_code(self, queue: str, code: str | None, refusal: str | None = None) -> None:
        """Note what jobs find here, or why none is taken; say so unless it was that before."""
        if (code, refusal) != (self.code, self._refusal) or refusal:
            self.code, self._refusal = code, refusal
            try:
                self.report(queue)
            except StoreUnavailable as error:  # a full Redis keeps no job from being run
                logger.warning("Say what code is here with the next sign of life: %s", error)

    def _renew_until_idle(self) -> None:
        """Renew again and again, until there has been nothing to renew for a while."""
        while True:
            try:
                with self._store.engines.control_channel(self._engine) as wait:
                    while not self._stops_after(IDLE_TIMEOUT):
                        self._renew()
                        if wait(self._store.config.lease / 4):
                            self._asked_at = time.monotonic()
                    return
            except StoreUnavailable as error:
                if self._stops_after(0.0):
                    return
                logger.warning("Cannot renew a lease: %s", error)
                time.sleep(RETRY_INTERVAL)
            except Exception:
                logger.exception("Cannot look after the jobs of this engine")
                time.sleep(RETRY_INTERVAL)

    def _stops_after(self, idle: float) -> bool:
        """Tell whether there was nothing for so long, and note that the thread ends then."""
        with self._lock:
            is_idle = self._worker is None and not self._leases
            is_over = is_idle and time.monotonic() > self._idle_since + idle
            self._is_running = not is_over
            return is_over

    def _renew(self) -> None:
        with self._lock:
            worker, leases = self._worker, list(self._leases)
        for lease in leases:
            self._renew_lease(lease)
        if worker is not None:
            self._store.queue.renew_worker(worker)
        self.report()

    def _renew_lease(self, lease: Lease) -> None:
        if not self._store.queue.renew(lease.info):
            lease.lose()
