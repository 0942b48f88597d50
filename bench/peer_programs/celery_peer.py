"""Celery: one prefork worker with two processes; broker and results in Redis, else as it comes."""

from collections.abc import Callable
from typing import Any

from peer_programs.base import RESULT_WITHIN, WORKERS, Peer


class Celery(Peer):
    """Submits with `delay`, waits with `get` of each result, which listens in Redis.

    `get` of a group or a set of results now and then waits a second or two for nothing.
    """

    def start(self) -> None:
        """Start a worker with the default prefetching."""
        self.start_redis()
        from peer_programs.celery_tasks import task

        self._task = task
        options = ["--pool", "prefork", "--concurrency", str(WORKERS), "--loglevel", "ERROR"]
        self.start_program("-m", "celery", "-A", "peer_programs.celery_tasks", "worker", *options)

    def submit(self) -> Any:
        """Send one."""
        return self._task.delay(-1)

    def submit_many(self, jobs: int) -> Callable[[], list[Any]]:
        """Use a group."""
        from celery import group

        sent = group(self._task.s(-1) for _ in range(jobs)).apply_async()
        return lambda: self.results(sent.results)

    def result(self, job: Any) -> Any:
        """Listen until it is there."""
        return job.get(timeout=RESULT_WITHIN)
