"""moi_django: two engines; each job in a process of its own, or all in one that has a name."""

import time
from collections.abc import Callable
from typing import Any, cast

from services import running_services

from peer_programs.base import RESULT_WITHIN, WORKERS, NotOfferedError, Peer


class Ours(Peer):
    """Submits with `submit` to a group, waits with `wait`, or for the totals of the group."""

    def start(self) -> None:
        """Start Redis and a cluster, set Django up."""
        self._running.enter_context(running_services(WORKERS))
        from moi_django import Options
        from moi_django.cluster import connections

        self._running.callback(connections.close_connections)
        self.process_each = hasattr(Options, "process")
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
        """Use the API for many where this version has one."""
        import moi_django

        create = getattr(moi_django, "submit_many", None)
        if create is None:
            raise NotOfferedError("this version creates jobs one by one only")
        items = [(-1,)] * jobs
        sent = create(
            *(moi_django.ctx_default, self._group, "a job", None, abs, items),
            options=self._options,
        )
        return lambda: self.results(list(sent))

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
        """Start it where this version can share a process."""
        # Before anything is started.
        self._make_options()
        super().start()
        self.process_each = False

    def _make_options(self) -> Any:
        from moi_django import Options

        try:
            # A version that does not know it is no mistake here.
            return cast(Any, Options)(process="bench")
        except TypeError as error:
            raise NotOfferedError("this version cannot share a process by name") from error
