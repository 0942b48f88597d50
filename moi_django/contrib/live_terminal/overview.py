"""What `moi top` and `moi watch` show: contexts, engines and jobs of all users; the tree of one."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from moi_django import owners
from moi_django.conf import conf
from moi_django.contrib.monitoring import cluster_state, job_search, owner_names
from moi_django.contrib.monitoring.statistics import Completed, Statistics
from moi_django.exceptions import GroupNotFound
from moi_django.site_store import get_store
from moi_django.store.tree_pages import TreePage

# For how many minutes is shown what ended, and how many of the newest jobs are listed.
MINUTES, JOBS = 60, 15


@dataclass(frozen=True, slots=True)
class Overview:
    """All of the site at one time."""

    clusters: cluster_state.ClusterState
    # What ended in the last minutes.
    ended: Completed
    # The newest of all users.
    jobs: list[job_search.JobSummary]

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        ended = asdict(self.ended) | {"minutes": MINUTES}
        return {
            "contexts": [asdict(context) for context in self.clusters.contexts],
            "engines": [_engine_dict(engine) for engine in self.clusters.engines],
            "states": self.clusters.states,
            "paused": self.clusters.paused,
            "ended": ended,
            "jobs": [_job_dict(row) for row in self.jobs],
        }


def _engine_dict(engine: cluster_state.EngineState) -> dict[str, Any]:
    fields = ("id", "context", "condition", "busy", "seen", "drained", "restart", "has_other_code")
    own = {name: getattr(engine, name) for name in fields}
    metrics = asdict(engine.metrics)
    job = {"job": engine.job and engine.job.id, "job_name": engine.job and engine.job.name}
    return {
        **{name: metrics[name] for name in metrics if name not in ("engine", "context")},
        **own,
        **job,
    }


def _job_dict(row: job_search.JobSummary) -> dict[str, Any]:
    fields = ("id", "name", "state", "status", "context", "date_created")
    own = {name: getattr(row.info, name) for name in fields}
    return {**own, "owner": row.owner, "waited": row.waited, "ran": row.ran}


def get_overview() -> Overview:
    """Return how all of the site is now. Raises StoreUnavailable or NotRunning."""
    ended = Completed()
    for _, minute in Statistics(get_store().connection).completed_by_minute(MINUTES):
        ended.add(minute)
    return Overview(
        cluster_state.get_cluster_state(), ended, job_search.search_jobs(None, count=JOBS).rows
    )


@dataclass(frozen=True, slots=True)
class UserTree:
    """The tree of a user, or of a group."""

    name: str
    tree_page: TreePage

    def to_dict(self) -> list[dict[str, Any]]:
        """Return it as JSON has it: parents first."""
        return [json.loads(info.to_wire(conf.RESULT_PREVIEW)) for info in self.tree_page.infos]


def get_user_tree(key: str) -> UserTree:
    """Return the beginning of the tree of a user, or of the group of which the id is given.

    Of a user of the site who has no jobs yet it is empty.

    Raises GroupNotFound when there is no such user or group, StoreUnavailable or NotRunning.
    """
    id = owner_names.find_group_id(key)
    if id is None:
        if owners.user_named(key) is None:
            raise GroupNotFound(f"Unknown user: {key}")
        return UserTree(key, TreePage())
    tree_page = get_store().pages.first_page(id, {}, conf.PAGE_ROWS, conf.SNAPSHOT_LIMIT)
    return UserTree(key, tree_page)
