"""RQ: two workers, which fork for each job (Worker) or run jobs themselves (SimpleWorker)."""

from collections.abc import Callable
from typing import Any

from peer_programs.base import RESULT_WITHIN, WORKERS, Peer
from peer_programs.no_op import no_op


class SimpleRQ(Peer):
    """Submits with `enqueue`, waits on the stream of the job's results."""

    worker_class = "rq.worker.SimpleWorker"

    def start(self) -> None:
        """Start workers with the default times to live."""
        url = self.start_redis()
        import redis
        import rq

        self._queue = rq.Queue(connection=redis.Redis.from_url(url))
        command = ["-m", "rq.cli", "worker", "--worker-class", self.worker_class, "--quiet"]
        for _ in range(WORKERS):
            self.start_program(*command, RQ_REDIS_URL=url)

    def submit(self) -> Any:
        """Enqueue one."""
        return self._queue.enqueue(no_op, -1)

    def submit_many(self, jobs: int) -> Callable[[], list[Any]]:
        """Use `enqueue_many`, which is one pipeline."""
        data = [self._queue.prepare_data(no_op, args=(-1,)) for _ in range(jobs)]
        sent = self._queue.enqueue_many(data)
        return lambda: self.results(sent)

    def result(self, job: Any) -> Any:
        """Block until it is there."""
        return job.latest_result(timeout=RESULT_WITHIN).return_value


class ForkingRQ(SimpleRQ):
    """The worker that RQ starts unless told otherwise."""

    process_each = True
    worker_class = "rq.worker.Worker"
