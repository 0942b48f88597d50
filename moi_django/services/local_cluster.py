"""Describe a cluster on this machine whose processes end with the one that starts it."""

import logging
import signal
import sys
from pathlib import Path
from typing import Any

from moi_django.services import parent_death

# Seconds until the engines have to be there.
READY_WITHIN = 60


def make_local_cluster(engines: int, directory: Path, env: dict[str, str]) -> Any:
    """Return an `ipyparallel.Cluster`, not started: a controller and engines.

    Start it from a thread that lives as long as the cluster should. `env` is added to the
    environment of the engines; all files are in `directory`.
    """
    import ipyparallel
    from traitlets.config import Config

    config = Config()
    config.LocalControllerLauncher.controller_cmd = parent_death.with_parent_death_signal(
        [sys.executable, "-m", "ipyparallel.controller"]
    )
    # An engine answers SIGTERM by asking its nanny, which may be gone.
    engine = parent_death.with_parent_death_signal(
        [sys.executable, "-m", "ipyparallel.engine"], signal.SIGKILL
    )
    for launcher in (config.LocalEngineLauncher, config.LocalEngineSetLauncher):
        launcher.engine_cmd = engine
        launcher.environment = env
        # A busy engine does not hear SIGTERM, and its job ends with it in any case.
        launcher.stop_seconds_until_kill = 1
    return ipyparallel.Cluster(
        n=engines,
        profile_dir=str(directory),
        cluster_id="",
        config=config,
        delay=0.0,
        log_level=logging.ERROR,
        engine_timeout=READY_WITHIN,
        # A short heartbeat lets engines register at once; many may be missed, because a busy
        # machine is no dead engine. Nothing here needs broadcasts or the controller's database.
        controller_args=[
            "--ping=200",
            "--HeartMonitor.max_heartmonitor_misses=50",
            "--IPController.broadcast_scheduler_depth=0",
            "--nodb",
        ],
    )


def connection_file(directory: Path) -> Path:
    """Return where the controller of such a cluster leaves its address."""
    return directory / "security" / "ipcontroller-client.json"
