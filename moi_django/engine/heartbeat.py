"""What stands beside a job on its engine, in a thread of its own.

It renews the lease by which others know that the job is alive, says how this engine is, interrupts
the job when it is no longer wanted or its time is up, and ends this engine when the job does not
heed that.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum

import psutil

from moi_django.engine.metrics import MetricsSampler
from moi_django.exceptions import StoreUnavailable
from moi_django.models import Info
from moi_django.store import Store

logger = logging.getLogger(__name__)

# Seconds between two attempts to reach a Redis that is away.
RETRY_INTERVAL = 0.5
# Seconds without a job after which the thread ends: there may be many sites in an engine's life.
IDLE_TIMEOUT = 10.0


class InterruptReason(Enum):
    """Why a job is interrupted."""

    # It was cancelled or removed, or is taken for lost.
    UNWANTED = "unwanted"
    TIMEOUT = "timeout"


class ActiveRun:
    """The job that this engine runs now."""

    def __init__(
        self, info: Info, grace: float, on_stubborn: Callable[[InterruptReason], object]
    ) -> None:
        self.info, self.grace, self.on_stubborn = info, grace, on_stubborn
        # Why it is or was to be interrupted.
        self.reason: InterruptReason | None = None
        # True while an interrupt reaches the function and nothing of ours.
        self.is_open = False
        self.is_signalled = False
        self.timers: list[threading.Timer] = []
        self.since = time.time()

    def call_later(self, seconds: float, act: Callable[[], None]) -> None:
        """Do something unless the function has ended by then."""
        timer = threading.Timer(seconds, act)
        timer.daemon = True
        self.timers.append(timer)
        timer.start()


class Heartbeat:
    """Looks after what a site runs in the main thread of this process, from a thread beside it."""

    def __init__(self, store: Store, engine: str) -> None:
        self._store, self._engine = store, engine
        self._lock = threading.Lock()
        self._sampler = MetricsSampler(engine)
        self._context: str | None = None
        self._run: ActiveRun | None = None
        self._idle_since = 0.0
        self._is_running = False

    @contextmanager
    def watch_over(
        self, info: Info, grace: float, on_stubborn: Callable[[InterruptReason], object]
    ) -> Iterator[ActiveRun]:
        """Renew the lease of a job until the block ends.

        When the job does not end within `grace` seconds of an interrupt, `on_stubborn` is called
        and this process is killed.
        """
        run = ActiveRun(info, grace, on_stubborn)
        with self._lock:
            self._run = run
            if not self._is_running:
                self._is_running = True
                threading.Thread(
                    target=self._renew_until_idle, daemon=True, name="moi-heartbeat"
                ).start()
        try:
            yield run
        finally:
            with self._lock:
                self._run = None
                self._idle_since = time.monotonic()

    @contextmanager
    def interruptible(self, run: ActiveRun, timeout: float | None) -> Iterator[None]:
        """Raise KeyboardInterrupt in the block when the job is unwanted or after `timeout` seconds.

        Outside of the block nothing of ours is interrupted.
        """
        with self._lock:
            run.is_open = True
        try:
            if run.reason is not None:
                raise KeyboardInterrupt
            if timeout is not None:
                run.call_later(timeout, lambda: self._interrupt(run, InterruptReason.TIMEOUT))
            yield
        finally:
            self._close_window(run)

    def _close_window(self, run: ActiveRun) -> None:
        """Let no interrupt come any more, and take in the one that may be on its way."""
        while True:
            try:
                with self._lock:
                    run.is_open = False
                for timer in run.timers:
                    timer.cancel()
                if run.is_signalled:
                    time.sleep(0.001)  # a signal is handled between two steps of this thread
                return
            except KeyboardInterrupt:
                continue

    def _interrupt(self, run: ActiveRun, reason: InterruptReason) -> None:
        with self._lock:
            if run.reason is not None:
                return
            run.reason = reason
            if not run.is_open:
                return
            run.is_signalled = True
            # The lock is held and the run is open: this hits the function and no other job.
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            run.call_later(run.grace, lambda: self._kill(run, reason))

    def _kill(self, run: ActiveRun, reason: InterruptReason) -> None:
        """End this process, and what the job has started: the controller hears of it at once."""
        with self._lock:
            if not run.is_open:
                return
        logger.error("Job %s does not heed an interrupt: its engine is ended.", run.info.id)
        try:
            run.on_stubborn(reason)
        finally:
            for child in psutil.Process().children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    # The older one is ipyparallel's, which tells the controller of our end.
                    if child.create_time() >= run.since:
                        child.kill()
            os.kill(os.getpid(), signal.SIGKILL)

    def _renew_until_idle(self) -> None:
        """Renew the lease of one job after the other, until there has been none for a while."""
        while True:
            try:
                with self._store.engines.control_channel(self._engine) as wait:
                    while not self._stops_after(IDLE_TIMEOUT):
                        self._renew_lease()
                        wait(self._store.config.lease / 4)
                    return
            except StoreUnavailable as error:
                if self._stops_after(0.0):
                    return  # nothing waits for it, and another site's job may read what we log
                logger.warning("Cannot renew a lease: %s", error)
                time.sleep(RETRY_INTERVAL)
            except Exception:
                logger.exception("Cannot look after the job of this engine")
                time.sleep(RETRY_INTERVAL)

    def _stops_after(self, idle: float) -> bool:
        """Tell whether there was no job for so long that the thread ends, and note that it does."""
        with self._lock:
            is_over = self._run is None and time.monotonic() > self._idle_since + idle
            self._is_running = not is_over
            return is_over

    def _renew_lease(self) -> None:
        run = self._run
        if run is not None:
            self._context = run.info.context
            if not self._store.queue.renew(run.info):
                self._interrupt(run, InterruptReason.UNWANTED)
        self._store.engines.report(self._sampler.sample(self._context))
