"""Run the controller of a context on this host, and tell it what becomes of engines.

Its state is that of its process and of its port, not what somebody remembers.
"""

import json
import math
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from moi_django.conf import conf
from moi_django.contrib.clusters import host_processes
from moi_django.contrib.clusters.context_settings import ContextSettings
from moi_django.contrib.clusters.shell import ask_host
from moi_django.contrib.services.free_ports import free_ports, ports_in_use
from moi_django.contrib.services.local_cluster import CONTROLLER_PORTS
from moi_django.exceptions import ServiceError

# Seconds for a controller to start and to stop.
START_TIMEOUT, STOP_TIMEOUT = 60.0, 10.0
# What the scheduler says once it knows what there is: an engine that registers before would wait
# in vain for work.
IS_READY = "Task scheduler started"
# Milliseconds between two pings.
LOCAL_PING, REMOTE_PING = 200, 1000
# How often within its heartbeat timeout an engine looks whether the controller may have given it
# up; and seconds between two looks at least.
QUESTIONS, LEAST_INTERVAL = 10, 5.0
# Seconds for the registration of an engine among many.
REGISTRATION_TIMEOUT = 60


class Controller:
    """The controller of one context."""

    def __init__(self, context: ContextSettings) -> None:
        self._context = context
        self._directory = context.directory / "controller"
        security = self._directory / "security"
        self.client_file = security / "ipcontroller-client.json"
        self.engine_file = security / "ipcontroller-engine.json"

    @property
    def _marker(self) -> str:
        return f"--profile-dir={self._directory}"

    @property
    def pid(self) -> int | None:
        """The id of its process; None while there is none, whatever of its parts is left."""
        # It leads a session of its own; its parts, which have its command line, do not live on it.
        leaders = [
            each.pid for each in host_processes.find(self._marker) if each.pid == _session_of(each)
        ]
        return min(leaders, default=None)

    @property
    def address(self) -> str | None:
        """Where engines find it, as HOST:PORT; None while that is not known."""
        try:
            said = json.loads(self.client_file.read_text())
            host = said["interface"].partition("://")[2]
            host = said["location"] if host in ("*", "0.0.0.0") else host  # noqa: S104
            return f"{host}:{said['registration']}"
        except (OSError, ValueError, KeyError):
            return None

    @property
    def engine_arguments(self) -> list[str]:
        """What its engines have to know besides."""
        interval = max(LEAST_INTERVAL, self._context.heartbeat_timeout / QUESTIONS)
        return [
            f"--IPEngine.timeout={REGISTRATION_TIMEOUT}",
            # Each after a somewhat longer time: the controller is the first to give up.
            f"--IPEngine.max_heartbeat_misses={self._heartbeat[1]}",
            f"--ContextEngine.question_interval={interval:g}",
        ]

    @property
    def _heartbeat(self) -> tuple[int, int]:
        """Return the milliseconds between two pings, and how many an engine may miss."""
        ping = LOCAL_PING if self._context.is_local else REMOTE_PING
        return ping, math.ceil(1000 * self._context.heartbeat_timeout / ping)

    def start(self) -> None:
        """Start it and wait until it takes engines. Raises ServiceError with what it says."""
        self.stop()  # what is left of an earlier one
        directory = self._context.directory
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        # By another process: who starts it need not live on, nor wait for its end.
        [pid] = ask_host(
            *(sys.executable, (), ()),
            act="start",
            name="controller",
            directory=str(directory),
            commands=[self._command()],
            cwd="",
            env={},
        )
        log = directory / "log" / f"controller-{pid}.log"
        until = time.monotonic() + START_TIMEOUT
        while self.pid is not None and time.monotonic() < until:
            if self._is_ready(log):
                return
            time.sleep(0.05)
        self.stop()
        raise ServiceError(
            f"The controller of {self._context.name} did not start; {log} ends with: "
            f"{host_processes.read_end(log, host_processes.TOLD_LINES)}"
        )

    def _command(self) -> list[str]:
        is_local = self._context.is_local
        ping, misses = self._heartbeat
        command = [
            *(sys.executable, "-m", "ipyparallel.controller", self._marker),
            f"--ping={ping}",
            f"--HeartMonitor.max_heartmonitor_misses={misses}",
            "--IPController.broadcast_scheduler_depth=0",
            "--TaskScheduler.hwm=1",
            "--nodb",
            f"--ports={','.join(map(str, self._ports()))}",
        ]
        if not is_local:
            location = self._context.address or outside_address()
            command += ["--ip=*", f"--location={location}", "--IPController.enable_curve=True"]
        return command

    def _ports(self) -> Sequence[int]:
        host = "127.0.0.1" if self._context.is_local else "0.0.0.0"  # noqa: S104
        if taken := ports_in_use(self._context.ports, host):
            raise ServiceError(
                f"Ports of {self._context.name} are in use: {', '.join(map(str, taken))}. "
                "Choose other PORTS, or see what listens there: ss -ltnp"
            )
        return self._context.ports or free_ports(CONTROLLER_PORTS, host)

    def _is_ready(self, log: Path) -> bool:
        is_written = self.client_file.exists() and self.engine_file.exists()
        return is_written and IS_READY in log.read_text(errors="replace")

    def read_log(self, lines: int) -> str:
        """Return the last lines that the latest one has written. Raises ServiceError."""
        logs = (self._context.directory / "log").glob("controller-*.log")
        latest = max(logs, key=lambda file: file.stat().st_mtime, default=None)
        if latest is None:
            raise ServiceError(f"Context {self._context.name} has had no controller yet.")
        return host_processes.read_end(latest, lines)

    def stop(self) -> None:
        """End it, and forget its address."""
        found = host_processes.find(self._marker)
        # Each leads a group, too.
        groups = {group for process in found if (group := _session_of(process))}
        for group in groups:
            _signal_group(group, signal.SIGTERM)
        _, alive = psutil.wait_procs(found, STOP_TIMEOUT)
        if alive:
            for group in groups:
                _signal_group(group, signal.SIGKILL)
        for file in (self.client_file, self.engine_file):
            file.unlink(missing_ok=True)

    @contextmanager
    def connect(self) -> Iterator["EngineList"]:
        """Ask it for its engines. Raises ServiceError when it does not answer."""
        import ipyparallel

        try:
            client = ipyparallel.Client(str(self.client_file), timeout=conf.CLUSTER_TIMEOUT)
        except Exception as error:
            # ipyparallel raises whatever its parts raise.
            raise self._silence(str(error)) from error
        try:
            try:
                engines = EngineList(client)
            except TimeoutError as error:
                raise self._silence("it names no engines") from error
            yield engines
        finally:
            client.close()

    def _silence(self, why: str) -> ServiceError:
        name = self._context.name
        return ServiceError(
            f"The controller of {name} does not answer: {why}. If it goes on so, see "
            f"`moi cluster logs --context={name}`; `moi cluster stop --now --context={name}` ends "
            "it, with its engines and their jobs."
        )


class EngineList:
    """The engines of a controller: their ids, as moi knows them, and what it is told of them."""

    def __init__(self, client: Any) -> None:
        self._client = client
        asked = client._send(client._query_stream, "connection_request")
        if not asked.wait(conf.CLUSTER_TIMEOUT):
            raise TimeoutError("The controller does not answer.")
        engines: dict[str, str] = asked.result()["content"]["engines"]
        self._number_of = {id: int(number) for number, id in engines.items()}

    @property
    def ids(self) -> set[str]:
        """The ids of the engines."""
        return set(self._number_of)

    def let_leave(self, engines: Collection[str]) -> None:
        """Have engines end, each when its job has ended."""
        numbers = [self._number_of[id] for id in engines if id in self._number_of]
        if numbers:
            # To their nannies, which answer while an engine is at work.
            self._client.send_signal(signal.SIGTERM, targets=numbers, block=False)
            self._flush()

    def forget(self, engines: Collection[str]) -> None:
        """Have the controller know engines no more, as they are gone."""
        for id in engines:
            content = {"id": self._number_of[id]}
            self._client._send(
                self._client._query_stream, "unregistration_request", content=content
            )
        self._flush()

    def _flush(self) -> None:
        """Wait until all that was sent has left this process."""
        left = threading.Event()
        self._client._io_loop.add_callback(left.set)
        left.wait(conf.CLUSTER_TIMEOUT)


def outside_address() -> str:
    """Return the address by which this host reaches others, and so is reached, most likely."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("198.51.100.1", 9))  # sends nothing
            return str(probe.getsockname()[0])
        except OSError:
            return socket.gethostname()


def _session_of(process: psutil.Process) -> int | None:
    try:
        return os.getsid(process.pid)
    except ProcessLookupError:
        return None  # it has just ended


def _signal_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return  # it has just ended
