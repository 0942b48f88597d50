"""A whole installation whose parts can be killed."""

import logging
import os
import random
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import psutil
import redis

from moi_django.cluster import connections
from moi_django.conf import conf
from moi_django.contrib.services import parent_death
from moi_django.contrib.services.local_cluster import connection_file, make_local_cluster
from moi_django.site_store import get_store
from tests.helpers.clocks import ServerClock, can_jump
from tests.helpers.clusters import start_cluster_sync
from tests.helpers.failover import MovingRedis
from tests.helpers.processes import environment

logger = logging.getLogger(__name__)

ENGINES = 3
HOUR = 3600
# Seconds after which a controller has dropped an engine that does not answer.
DROPPED = 10.0
# Seconds within which one thing may be the cause of another.
NEAR = 5.0
# In the command line of a fork server, and of the job processes that it has forked.
FORK_SERVER = "moi_django.engine.fork_server"
# Says, in the environment of each process, whose it is.
OWN = "MOI_TEST_DIR"


@dataclass
class Hit:
    """That a process was killed, or frozen for some seconds."""

    kind: str
    pid: int
    # The engine that it is, or belongs to.
    engine: int
    seconds: float = float("inf")
    at: float = field(default_factory=time.time)

    @property
    def is_death(self) -> bool:
        """True when it was killed."""
        return self.seconds == float("inf")

    @property
    def is_long(self) -> bool:
        """True when others may take the engine for dead."""
        return self.seconds > conf.LEASE / 2

    def was_between(self, begun: float, ended: float) -> bool:
        """Tell whether it may be why what had begun has ended."""
        over = self.at if self.is_death else self.at + self.seconds
        return self.at <= ended and over >= begun - 1

    def is_near(self, at: float) -> bool:
        """Tell whether it may have to do with what happened then."""
        return self.at - NEAR < at < self.at + NEAR + (0 if self.is_death else self.seconds)


class Ran(NamedTuple):
    """A process in which a job has begun."""

    number: int
    pid: int
    engine: int
    # True when the function has come to its end.
    is_done: bool


class Site:
    """Redis, a cluster, a web server and a reconciler, each in processes of its own."""

    def __init__(self, directory: Path, port: int, log: Path) -> None:
        self._directory, self._port, self._log = directory, port, log
        self.address = f"127.0.0.1:{port}"
        self._clusters = []
        self._running = ExitStack()
        self._server = self._reconciler = None
        if can_jump():
            self._clock = ServerClock(directory)
            os.environ["MOI_REDIS_SERVER"] = str(self._clock.program)
        self._ahead = 0
        self.redis = MovingRedis(directory)
        self.hits: list[Hit] = []
        self._thaws: list[threading.Timer] = []
        self.ledger = directory / "ledger"
        self.ledger.touch()

    def __enter__(self) -> "Site":
        self._running.callback(self._stop_clusters)
        self._running.enter_context(self.redis)
        self._let_redis_write_at_once()
        os.environ["MOI_REDIS_URL"] = self.redis.url
        os.environ["MOI_CONNECTION_FILE"] = str(connection_file(self._directory / "cluster"))
        self.start_cluster()
        self.start_server()
        self.start_reconciler()
        return self

    def __exit__(self, *error: object) -> None:
        self._thaw_all()
        for process in (self._server, self._reconciler):
            process.kill()
            process.wait()
        self._running.close()

    def blows(self) -> list[Callable[["Site", random.Random], object]]:
        """Return what can be done to it; what is there twice comes twice as often."""
        steps = [Site.step_clock] if can_jump() else []
        return [
            *(Site.kill_engine, Site.kill_engine, Site.kill_controller, Site.kill_server),
            *(Site.kill_reconciler, Site.kill_redis, Site.cut_connections, Site.kill_fork_server),
            *(Site.kill_job, Site.kill_job, Site.freeze_engine, Site.freeze_fork_server),
            *(Site.freeze_job, Site.freeze_redis, Site.fail_over),
            *steps,
        ]

    def calm(self) -> None:
        """Wait until nothing is frozen any more, and let come what had to wait for its time."""
        for timer in self._thaws:
            timer.join()
        if can_jump():
            self._clock.set(HOUR)
        self.keep_running()

    def _thaw_all(self) -> None:
        for timer in self._thaws:
            timer.cancel()
        for process in own_processes(self._directory):
            with suppress(psutil.Error):
                process.resume()

    def _environment(self) -> dict[str, str]:
        names = ("MOI_REDIS_URL", "MOI_CONNECTION_FILE", OWN)
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

    def keep_running(self) -> None:
        """Start the reconciler anew if it has ended, as when Redis was away; systemd does so."""
        if self._reconciler.poll() is not None:
            self.start_reconciler()

    def _program(self, *arguments: str) -> psutil.Popen:
        with self._log.open("ab") as log:
            return psutil.Popen(
                parent_death.with_parent_death_signal([sys.executable, "-m", *arguments]),
                env=self._environment(),
                stdout=log,
                stderr=log,
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

    def _fork_servers(self) -> list[psutil.Process]:
        return [server for engine in self._engines() for server in _forked(engine)]

    def _jobs(self) -> list[psutil.Process]:
        """Return the processes in which jobs run; wait a moment for one."""
        running: list[psutil.Process] = []
        deadline = time.monotonic() + 2
        while not running and time.monotonic() < deadline:
            time.sleep(0.1)
            begun = {process.pid for process in self.processes() if not process.is_done}
            found = [process for server in self._fork_servers() for process in _forked(server)]
            running = [process for process in found if process.pid in begun]
        return running

    def processes(self) -> list[Ran]:
        """Return the processes in which jobs have begun, in this order."""
        found: dict[tuple[str, ...], bool] = {}
        for line in self.ledger.read_text().splitlines():
            word, *numbers = line.split()
            found[tuple(numbers)] = word == "done"
        return [Ran(*map(int, numbers), is_done) for numbers, is_done in found.items()]

    def _kill(self, kind: str, process: psutil.Process, engine: int) -> None:
        self.hits.append(Hit(kind, process.pid, engine))
        logger.info("kills %s %s", kind, process.pid)
        with suppress(psutil.Error):
            process.kill()

    def _freeze(
        self, kind: str, process: psutil.Process, engine: int, choose: random.Random
    ) -> float:
        """Let a process stand still for a while, also for longer than a lease may."""
        short, long = choose.uniform(1, 4), conf.LEASE + choose.uniform(1, 4)
        seconds = choose.choice([short, long])
        self.hits.append(Hit(kind, process.pid, engine, seconds))
        logger.info("freezes %s %s for %.1f s", kind, process.pid, seconds)
        self._suspend(process, seconds)
        return seconds

    def _suspend(self, process: psutil.Process, seconds: float) -> None:
        def resume() -> None:
            with suppress(psutil.Error):
                process.resume()

        with suppress(psutil.Error):
            process.suspend()
        self._thaws.append(threading.Timer(seconds, resume))
        self._thaws[-1].start()

    # Blows

    def kill_engine(self, choose: random.Random) -> bool:
        """Kill an engine in the middle of its job and start another, as `moi up` does."""
        if not (engines := self._engines()):
            return False
        engine = choose.choice(engines)
        self._kill("engine", engine, engine.pid)
        self._clusters[-1].start_engines_sync(1)
        return True

    def freeze_engine(self, choose: random.Random) -> bool:
        """Freeze an engine for a while; start another if the controller drops it, as `moi up`."""
        if not (engines := self._engines()):
            return False
        engine = choose.choice(engines)
        if self._freeze("engine", engine, engine.pid, choose) > DROPPED:
            self._clusters[-1].start_engines_sync(1)
        return True

    def kill_fork_server(self, choose: random.Random) -> bool:
        """Kill what starts the processes of jobs; they die with it."""
        if not (servers := self._fork_servers()):
            return False
        server = choose.choice(servers)
        self._kill("fork server", server, server.ppid())
        return True

    def freeze_fork_server(self, choose: random.Random) -> bool:
        """Freeze what starts the processes of jobs."""
        if not (servers := self._fork_servers()):
            return False
        server = choose.choice(servers)
        self._freeze("fork server", server, server.ppid(), choose)
        return True

    def kill_job(self, choose: random.Random) -> bool:
        """Kill the process of a job."""
        if not (jobs := self._jobs()):
            return False
        self._kill("job", choose.choice(jobs), 0)
        return True

    def freeze_job(self, choose: random.Random) -> bool:
        """Freeze the process of a job."""
        if not (jobs := self._jobs()):
            return False
        self._freeze("job", choose.choice(jobs), 0, choose)
        return True

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
        self.redis.server.kill()

    def revive_redis(self) -> None:
        """Start Redis again, with what it has on disk."""
        if not self.redis.is_alive:
            self.redis.server.start()
            self._let_redis_write_at_once()

    def _let_redis_write_at_once(self) -> None:
        """Let it confirm only what the system has: it defers that while it waits for the disk."""
        with suppress(redis.RedisError), redis.Redis.from_url(self.redis.url) as client:
            client.config_set("appendfsync", "no")

    def freeze_redis(self, choose: random.Random) -> None:
        """Freeze Redis for some seconds."""
        with suppress(psutil.Error):  # it may be away
            self._suspend(psutil.Process(self.redis.server.process.pid), choose.uniform(1, 7))

    def fail_over(self, choose: random.Random) -> bool:
        """Let a replica take the place of Redis, which is killed or lives on as its replica."""
        is_done = self.redis.fail_over(is_crash=choose.random() < 0.5)
        self._let_redis_write_at_once()
        return is_done

    def step_clock(self, choose: random.Random) -> None:
        """Set the clock of Redis an hour ahead or back."""
        self._ahead = choose.choice([HOUR, -HOUR]) if self._ahead == 0 else 0
        self._clock.set(self._ahead)

    def cut_connections(self, choose: random.Random) -> None:
        """Cut the connections that listen, or those that do not."""
        with suppress(redis.RedisError):  # there are none while it is away
            get_store().connection.redis.client_kill_filter(
                _type=choose.choice(["pubsub", "normal"]), skipme=True
            )


def _forked(process: psutil.Process) -> list[psutil.Process]:
    """Return the fork servers of an engine, or the job processes of a fork server."""
    found = []
    with suppress(psutil.Error):
        for child in process.children():
            with suppress(psutil.Error):
                if FORK_SERVER in " ".join(child.cmdline()):
                    found.append(child)
    return found


def own_processes(directory: Path) -> list[psutil.Process]:
    """Return the processes on this machine that a site has started, but for the present one."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            is_own = process.environ().get(OWN) == str(directory)
            if is_own and process.pid != os.getpid():
                found.append(process)
    return found
