"""Dask distributed: a scheduler and two workers of one thread, in processes with their nannies."""

import os
from collections.abc import Callable
from typing import Any

from peer_programs.base import RESULT_WITHIN, WORKERS, Peer


class Dask(Peer):
    """Submits with `submit`, waits for the futures; a result is never taken from another job."""

    def start(self) -> None:
        """Start what the commands of Dask start, without dashboards."""
        os.environ["DASK_TEMPORARY_DIRECTORY"] = str(self.directory)
        from distributed import Client

        file = str(self.directory / "scheduler.json")
        common = ["--no-dashboard", "--scheduler-file", file, "--host", "127.0.0.1"]
        ports = ["--port", "0", "--dashboard-address", "127.0.0.1:0"]
        self.start_program("-m", "distributed.cli.dask_scheduler", *common, *ports)
        workers = ["--nworkers", str(WORKERS), "--nthreads", "1"]
        self.start_program("-m", "distributed.cli.dask_worker", *common, *workers)
        self._client = self._running.enter_context(Client(scheduler_file=file))
        self._client.wait_for_workers(WORKERS, timeout=RESULT_WITHIN)

    def submit(self) -> Any:
        """Submit one."""
        return self._client.submit(abs, -1, pure=False)

    def submit_many(self, jobs: int) -> Callable[[], list[Any]]:
        """Use `map`."""
        sent = self._client.map(abs, [-1] * jobs, pure=False)
        return lambda: self.results(sent)

    def result(self, job: Any) -> Any:
        """Wait until it is there."""
        return job.result(timeout=RESULT_WITHIN)

    def results(self, jobs: list[Any]) -> list[Any]:
        """Wait for all at once."""
        return self._client.gather(jobs)
