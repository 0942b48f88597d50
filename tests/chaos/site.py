"""A whole installation whose parts can be killed."""

import os
import random
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
import redis

from moi_django.cluster import connections
from moi_django.services.embedded_redis import EmbeddedRedis
from moi_django.services.local_cluster import connection_file, make_local_cluster
from moi_django.site_store import get_store
from tests.helpers.clusters import start_cluster_sync
from tests.helpers.processes import environment

ENGINES = 3


class Site:
    """Redis, a cluster, a web server and a reconciler, each in processes of its own."""

    def __init__(self, directory: Path, port: int) -> None:
        self._directory, self._port = directory, port
        self.address = f"127.0.0.1:{port}"
        self._clusters = []
        self._running = ExitStack()
        self._server = self._reconciler = None
        (directory / "redis").mkdir()
        self.redis = EmbeddedRedis(directory / "redis")
        self.ledger = directory / "ledger"
        self.ledger.touch()

    def __enter__(self) -> "Site":
        self._running.callback(self._stop_clusters)
        self._running.enter_context(self.redis)
        os.environ["MOI_REDIS_URL"] = self.redis.url
        os.environ["MOI_CONNECTION_FILE"] = str(connection_file(self._directory / "cluster"))
        self.start_cluster()
        self.start_server()
        self.start_reconciler()
        return self

    def __exit__(self, *error: object) -> None:
        for process in (self._server, self._reconciler):
            process.kill()
            process.wait()
        self._running.close()

    def _environment(self) -> dict[str, str]:
        names = ("MOI_REDIS_URL", "MOI_CONNECTION_FILE", "MOI_TEST_DIR")
        return environment(**{name: os.environ[name] for name in names})

    def start_cluster(self) -> None:
        """Start a controller and its engines; engines of a dead one may still be there."""
        directory = self._directory / "cluster"
        connection_file(directory).unlink(missing_ok=True)
        started = make_local_cluster(ENGINES, directory, self._environment())
        start_cluster_sync(started).close()
        self._clusters.append(started)

    def _stop_clusters(self) -> None:
        connections.close_connections()
        for started in self._clusters:
            started.stop_cluster_sync()
        for process in self._engines():
            process.kill()

    def start_server(self) -> None:
        """Start the web server on the port that pages know."""
        self._server = self._program(
            *("uvicorn", "moi_django.asgi:development", "--port", str(self._port)),
            *("--lifespan=off", "--log-level=critical", "--ws=websockets-sansio"),
        )

    def start_reconciler(self) -> None:
        """Start what looks after jobs."""
        self._reconciler = self._program("django", "moi", "reconcile")

    def _program(self, *arguments: str) -> psutil.Popen:
        log = (self._directory / "log").open("ab")
        with log:
            return psutil.Popen(
                [sys.executable, "-m", *arguments], env=self._environment(), stdout=log, stderr=log
            )

    def _engines(self) -> list[psutil.Process]:
        found = []
        for process in psutil.Process().children():
            try:
                if "ipyparallel.engine" in process.cmdline():
                    found.append(process)
            except psutil.Error:
                continue
        return found

    # Blows

    def kill_engine(self, choose: random.Random) -> None:
        """Kill an engine in the middle of its job and start another, as `moi up` does."""
        engines = self._engines()
        if engines:
            choose.choice(engines).kill()
            self._clusters[-1].start_engines_sync(1)

    def kill_controller(self, choose: random.Random) -> None:
        """Kill a controller with all its schedulers and start another."""
        hub = psutil.Process(self._clusters[-1].controller.process.pid)
        for process in [*hub.children(recursive=True), hub]:
            process.kill()
        self.start_cluster()

    def kill_server(self, choose: random.Random) -> None:
        """Kill the web server and start another."""
        self._server.kill()
        self._server.wait()
        self.start_server()

    def kill_reconciler(self, choose: random.Random) -> None:
        """Kill the reconciler and start another."""
        self._reconciler.kill()
        self._reconciler.wait()
        self.start_reconciler()

    def kill_redis(self, choose: random.Random) -> None:
        """Kill Redis."""
        self.redis.kill()

    def revive_redis(self) -> None:
        """Start Redis again, with what it has on disk."""
        if self.redis.process.poll() is not None:
            self.redis.start()

    def cut_connections(self, choose: random.Random) -> None:
        """Cut the connections that listen, or those that do not."""
        with suppress(redis.ConnectionError):  # there are none while it is away
            get_store().connection.redis.client_kill_filter(
                _type=choose.choice(["pubsub", "normal"]), skipme=True
            )


BLOWS = (
    *(Site.kill_engine, Site.kill_engine, Site.kill_controller, Site.kill_server),
    *(Site.kill_reconciler, Site.kill_redis, Site.cut_connections),
)
