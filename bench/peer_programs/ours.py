"""moi_django: two engines; each job in a process of its own, or all in one that has a name."""

import time
from collections.abc import Callable
from typing import Any

from services import running_services

from peer_programs.base import RESULT_WITHIN, WORKERS, Peer


class Ours(Peer):
    """Submits with `submit` to a group, waits with `wait`, or for the totals of the group."""

    def start(self) -> None:
        """Start Redis and a cluster, set Django up."""
        self._running.enter_context(running_services(WORKERS))
        from moi_django.cluster import connections

        self._running.callback(connections.close_connections)
        self.process_each = True
        self._options = self._make_options()
        self._new_group()

    def _make_options(self) -> Any:
        from moi_django import Options

        return Options()

    def _new_group(self) -> None:
        from moi_django import Group

        self._group = Group.create("no-user", "peers")

    def submit(self) -> Any:
        """Submit one to the group."""
        from moi_django import ctx_default, submit

        return submit(ctx_default, self._group, "a job", None, abs, -1, options=self._options)

    def submit_many(self, jobs: int) -> Callable[[], list[Any]]:
        """Create them in the store, then call workers."""
        from moi_django import ctx_default
        from moi_django.cluster import dispatch
        from moi_django.cluster.payloads import sign_payload
        from moi_django.engine.payloads import Payload
        from moi_django.engine.pickling import PYTHON_VERSION, pickle_call
        from moi_django.jobs.creation import new_job_info
        from moi_django.site_store import get_store

        payload = Payload(pickle_call((abs, (-1,), {}), 1_000), self._options, ctx_default)
        infos = [
            new_job_info(
                ctx_default, self._group.info, "a job", None, self._options, PYTHON_VERSION
            )
            for _ in range(jobs)
        ]
        get_store().jobs.create_many([(info, sign_payload(info, payload)) for info in infos])
        dispatch.call_workers(infos[0].queue)
        return lambda: self.results(infos)

    def result(self, job: Any) -> Any:
        """Listen until it is there."""
        return job.value(RESULT_WITHIN)

    def results(self, jobs: list[Any]) -> list[Any]:
        """Wait until the group has so many successes; read the jobs at once."""
        from moi_django.site_store import get_store

        deadline = time.monotonic() + RESULT_WITHIN
        while get_store().tree.totals(self._group.id) != {"success": len(jobs)}:
            if time.monotonic() > deadline:
                raise TimeoutError(f"totals: {get_store().tree.totals(self._group.id)}")
            time.sleep(0.005)
        return [job.result for job in self._group.jobs()]

    def forget(self) -> None:
        """Begin a new group, so that the next totals are of the next jobs."""
        self._group.delete()
        self._new_group()


class OursShared(Ours):
    """The same, with jobs that name the process that they share."""

    def start(self) -> None:
        """Start it, for jobs that have no process of their own."""
        super().start()
        self.process_each = False

    def _make_options(self) -> Any:
        from moi_django import Options

        return Options(process="bench")

    def submit_many(self, jobs: int) -> Callable[[], list[Any]]:
        """Use `Group.map`, whose jobs share a process without a name, too."""
        from moi_django import Group

        group = Group.map(abs, [-1] * jobs, owner=self._group, name="together")
        return lambda: group.results(RESULT_WITHIN)
