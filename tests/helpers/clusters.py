"""Start a cluster where no event loop runs: in tests, benchmarks and under chaos."""

from typing import Any

from moi_django.services.local_cluster import start_cluster


def start_cluster_sync(cluster: Any) -> Any:
    """Do what `start_cluster` does, in the way in which ipyparallel does it with its own calls.

    Where a loop runs after all, as under Playwright, that is a thread which lasts.
    """
    return cluster._synchronize(start_cluster, cluster)
