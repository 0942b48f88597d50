"""Dramatiq: two processes of one thread each, the Results middleware, both on Redis."""

from collections.abc import Callable
from typing import Any

from peer_programs.base import RESULT_WITHIN, WORKERS, Peer

# That of its default, eight threads. With that of one, 2, workers sleep most of the time.
PREFETCH = 16


class Dramatiq(Peer):
    """Submits with `send`, waits with a blocking `get_result`."""

    def start(self) -> None:
        """Start workers with the default middleware and timeouts."""
        self.start_redis()
        from peer_programs.dramatiq_tasks import actor

        self._actor = actor
        command = ["-m", "dramatiq", "peer_programs.dramatiq_tasks"]
        self.start_program(
            *(*command, "--processes", str(WORKERS), "--threads", "1"),
            dramatiq_queue_prefetch=str(PREFETCH),
        )

    def submit(self) -> Any:
        """Send one."""
        return self._actor.send(-1)

    def submit_many(self, jobs: int) -> Callable[[], list[Any]]:
        """Use a group, which sends one after the other."""
        from dramatiq import group

        sent = group(self._actor.message(-1) for _ in range(jobs)).run()
        return lambda: list(sent.get_results(block=True, timeout=RESULT_WITHIN * 1000))

    def result(self, job: Any) -> Any:
        """Block until it is there."""
        return job.get_result(block=True, timeout=RESULT_WITHIN * 1000)
