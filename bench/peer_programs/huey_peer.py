"""Huey: one consumer with two worker processes that block on Redis, results kept and notified."""

from collections.abc import Callable
from typing import Any

from peer_programs.base import RESULT_WITHIN, WORKERS, Peer


class Huey(Peer):
    """Submits with a task's call, waits on the notification of its result."""

    def start(self) -> None:
        """Start a consumer without its scheduler of periodic tasks."""
        self.start_redis()
        from peer_programs.huey_tasks import task

        self._task = task
        consumer = ["-m", "huey.bin.huey_consumer", "peer_programs.huey_tasks.huey"]
        options = ["--workers", str(WORKERS), "--worker-type", "process", "--delay", "0.01"]
        self.start_program(*consumer, *options, "--no-periodic", "--quiet")

    def submit(self) -> Any:
        """Enqueue one."""
        return self._task(-1)

    def submit_many(self, jobs: int) -> Callable[[], list[Any]]:
        """Use `map`, which sends one after the other."""
        found = list(self._task.map([-1] * jobs))
        return lambda: self.results(found)

    def result(self, job: Any) -> Any:
        """Block until it is there."""
        return job.get(blocking=True, timeout=RESULT_WITHIN)
