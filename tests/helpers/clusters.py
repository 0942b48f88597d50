"""Start a cluster where no event loop runs: in tests, benchmarks and under chaos."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from moi_django.contrib.services.local_cluster import (
    connection_file,
    make_local_cluster,
    start_cluster,
)


def start_cluster_sync(cluster: Any) -> Any:
    """Do what `start_cluster` does, in the way in which ipyparallel does it with its own calls.

    Where a loop runs after all, as under Playwright, that is a thread which lasts.
    """
    return cluster._synchronize(start_cluster, cluster)


@contextmanager
def running_cluster(engines: int, directory: Path, env: dict[str, str]) -> Iterator[str]:
    """Run a controller and engines until the block ends; gives the file for its clients."""
    cluster = make_local_cluster(engines, directory, env)
    start_cluster_sync(cluster).close()
    try:
        yield str(connection_file(directory))
    finally:
        cluster.stop_cluster_sync()
