"""Bare ipyparallel: a load-balanced view on a cluster as `moi up` starts it."""

from collections.abc import Callable
from typing import Any

import ipyparallel
from services import running_cluster

from peer_programs.base import RESULT_WITHIN, WORKERS, Peer


class Ipyparallel(Peer):
    """Submits with `apply_async`, waits with `get`; nothing is kept of a job."""

    def start(self) -> None:
        """Start a cluster and connect."""
        cluster = running_cluster(WORKERS, self.directory / "cluster")
        client = ipyparallel.Client(self._running.enter_context(cluster))
        self._client = self._running.enter_context(client)
        self._view = client.load_balanced_view()

    def submit(self) -> Any:
        """Send one."""
        return self._view.apply_async(abs, -1)

    def submit_many(self, jobs: int) -> Callable[[], list[Any]]:
        """Use `map_async` with a task for each."""
        sent = self._view.map_async(abs, [-1] * jobs, chunksize=1)
        return lambda: list(sent.get(RESULT_WITHIN))

    def result(self, job: Any) -> Any:
        """Wait until it is there."""
        return job.get(RESULT_WITHIN)

    def forget(self) -> None:
        """Let the client forget; it would keep all results."""
        self._client.purge_everything()
