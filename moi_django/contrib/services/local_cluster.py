"""Run a cluster on this machine whose processes end with the one that starts it."""

import asyncio
import logging
import signal
import sys
import time
from pathlib import Path
from typing import Any

from moi_django.contrib.services import parent_death
from moi_django.contrib.services.free_ports import free_ports
from moi_django.exceptions import ServiceError

# Seconds until the engines have to be there, for each to get its first task, and between two looks
# at that.
READY_WITHIN, FIRST_TASK_WITHIN = 60, 10.0
BETWEEN_LOOKS = 0.2
# Ports that a controller opens.
CONTROLLER_PORTS = 15
# How often a cluster is started whose scheduler has missed an engine.
STARTS = 3
MISSED = "The scheduler of the cluster hands its engines no tasks: see what the controller says."


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
            # Its own choice may be taken by the time its processes open them; the one whose port
            # that was is then missing, without a word.
            f"--ports={','.join(map(str, free_ports(CONTROLLER_PORTS)))}",
        ],
    )


async def start_cluster(cluster: Any) -> Any:
    """Start a cluster and return a client of it, once each engine has done a task.

    Raises ServiceError when that does not come to pass.
    """
    for _ in range(STARTS):
        client = await cluster.start_and_connect()
        if not await asyncio.to_thread(unreached_engines, client):
            return client
        client.close()
        await cluster.stop_cluster()
        _forget_address(cluster)
    raise ServiceError(MISSED)


def unreached_engines(client: Any, within: float = FIRST_TASK_WITHIN) -> list[int]:
    """Return the engines that get no task of the scheduler within some seconds.

    A scheduler asks for the engines once, when it starts, and subscribes to those that come later:
    of one that registers in between it never hears, and would keep its tasks for ever. An engine
    that does the task of somebody else by then is reached, too.
    """
    view, tasks = client.load_balanced_view(), {}
    for engine in client.ids:
        with view.temp_flags(targets=[engine]):
            tasks[engine] = view.apply_async(abs, -1)
    end = time.monotonic() + within
    while tasks and time.monotonic() < end:
        next(iter(tasks.values())).wait(BETWEEN_LOOKS)
        counts = client.queue_status()
        tasks = {engine: task for engine, task in tasks.items() if not _has_got_one(counts[engine])}
    return list(tasks)


def engine_ids(client: Any) -> list[str]:
    """Return the ids by which engines call themselves."""
    return list(client._engines.values())


def _has_got_one(counts: dict[str, int]) -> bool:
    return counts["completed"] + counts["tasks"] > 0


def _forget_address(cluster: Any) -> None:
    """Let nobody read the address of a controller that has been stopped."""
    connection_file(Path(cluster.profile_dir)).unlink(missing_ok=True)


def connection_file(directory: Path) -> Path:
    """Return where the controller of such a cluster leaves its address."""
    return directory / "security" / "ipcontroller-client.json"
