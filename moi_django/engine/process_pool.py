"""Processes for jobs: a fresh one for each, unless jobs of one owner ask by name to share one."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from moi_django.engine.fork_client import ForkServer, JobProcess

# How many processes are kept for more jobs, after how many jobs one is not, and for how many
# seconds without one.
MAX_KEPT, MAX_JOBS, MAX_IDLE = 4, 1_000, 60.0


@dataclass(slots=True)
class Loan:
    """A process that an attempt has."""

    process: JobProcess
    # True when it may run another job.
    is_reusable: bool = False
    # True when the server that has started it is dead.
    is_orphaned: bool = False
    jobs: int = 0
    since: float = field(default_factory=time.monotonic)


class ProcessPool:
    """The processes of one fork server."""

    def __init__(self, preload: tuple[str, ...]) -> None:
        self._server = ForkServer(preload)
        self._lock = threading.Lock()
        # By name and owner.
        self._kept: dict[tuple[str, str], Loan] = {}
        # False while a thread looks after those that are kept.
        self._is_swept = True

    def check(self) -> ForkServer:
        """Have a process ready, or raise NoProcess; return its server, which says what it has."""
        self._server.prepare()
        return self._server

    def close(self) -> None:
        """End all of them; it may be used again."""
        with self._lock:
            loans, self._kept = list(self._kept.values()), {}
        for loan in loans:
            loan.process.close()
        self._server.close()

    @contextmanager
    def lend(self, name: str | None, owner: str) -> Iterator[Loan]:
        """Give a process for one attempt; under a name it is kept for more of that owner.

        Raises NoProcess when none can be started.
        """
        loan = self._take(name, owner)
        try:
            yield loan
        finally:
            loan.jobs += 1
            if loan.is_orphaned:
                self._server.clear_up()
            if name is None or not loan.is_reusable or loan.jobs >= MAX_JOBS:
                loan.process.close()
            else:
                self._keep((name, owner), loan)
            self._server.make_spare()

    def _take(self, name: str | None, owner: str) -> Loan:
        with self._lock:
            loan = self._kept.pop((name, owner), None) if name is not None else None
        if loan is not None:
            if not loan.process.has_ended:
                loan.is_reusable = False
                return loan
            loan.process.close()
        return Loan(self._server.take())

    def _keep(self, key: tuple[str, str], loan: Loan) -> None:
        loan.since = time.monotonic()
        with self._lock:
            surplus = [self._kept.pop(key, None)]
            self._kept[key] = loan
            if self._is_swept:
                threading.Thread(target=self._close_idle, daemon=True, name="moi-pool").start()
                self._is_swept = False
            if len(self._kept) > MAX_KEPT:
                surplus.append(self._kept.pop(next(iter(self._kept))))
        for each in surplus:
            if each is not None:
                each.process.close()

    def _close_idle(self) -> None:
        """End processes that have had no job for long, as long as there are any."""
        is_over = False
        while not is_over:
            time.sleep(MAX_IDLE / 4)
            limit = time.monotonic() - MAX_IDLE
            with self._lock:
                idle = [key for key, loan in self._kept.items() if loan.since < limit]
                loans = [self._kept.pop(key) for key in idle]
                is_over = self._is_swept = not self._kept
            for loan in loans:
                loan.process.close()
