"""What the benchmarks run on: a private Redis, engines if wanted, and Django set up on them."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
# The settings, and what else the benchmarks share with the tests; they may be run from anywhere.
sys.path.insert(0, str(ROOT))


@contextmanager
def running_services(engines: int = 0) -> Iterator[str]:
    """Run services until the block ends; gives the URL of Redis.

    Engines have no Django, and their controller's file stands in MOI_CONNECTION_FILE.
    """
    from moi_django.services.embedded_redis import EmbeddedRedis

    with (
        EmbeddedRedis() as server,
        tempfile.TemporaryDirectory() as directory,
        _running_cluster(engines, Path(directory) / "cluster"),
    ):
        os.environ.update(
            DJANGO_SETTINGS_MODULE="tests.settings",
            MOI_TEST_DIR=directory,
            MOI_REDIS_URL=server.url,
        )
        import django

        django.setup()
        yield server.url


@contextmanager
def _running_cluster(engines: int, directory: Path) -> Iterator[None]:
    if not engines:
        yield
        return
    from moi_django.services.local_cluster import connection_file, make_local_cluster
    from tests.helpers.clusters import start_cluster_sync

    directory.mkdir()
    cluster = make_local_cluster(engines, directory, {"PYTHONPATH": str(ROOT)})
    start_cluster_sync(cluster).close()
    os.environ["MOI_CONNECTION_FILE"] = str(connection_file(directory))
    try:
        yield
    finally:
        cluster.stop_cluster_sync()
