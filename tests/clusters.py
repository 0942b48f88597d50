"""Start a cluster for the tests."""

import logging
import sys
from contextlib import contextmanager
from pathlib import Path

from moi_django import pdeath


@contextmanager
def local_cluster(engines: int, directory: Path, env: dict[str, str]):
    """Run a controller and engines; yield the path of the connection file."""
    import signal

    import ipyparallel
    from traitlets.config import Config

    config = Config()
    config.LocalControllerLauncher.controller_cmd = pdeath.command(
        [sys.executable, "-m", "ipyparallel.controller"]
    )
    engine = pdeath.command([sys.executable, "-m", "ipyparallel.engine"], signal.SIGKILL)
    config.LocalEngineLauncher.engine_cmd = engine
    config.LocalEngineSetLauncher.engine_cmd = engine
    config.EngineLauncher.environment = env
    config.LocalEngineLauncher.environment = env
    config.LocalEngineSetLauncher.environment = env
    cluster = ipyparallel.Cluster(
        n=engines,
        profile_dir=str(directory),
        cluster_id="",
        config=config,
        delay=0.0,
        log_level=logging.ERROR,
        controller_args=[
            "--ping=200",
            "--HeartMonitor.max_heartmonitor_misses=50",
            "--IPController.broadcast_scheduler_depth=0",
            "--nodb",
        ],
    )
    client = cluster.start_and_connect_sync()
    client.close()
    try:
        yield str(directory / "security" / "ipcontroller-client.json")
    finally:
        cluster.stop_cluster_sync()
