"""How many engines one controller bears: how soon they register, how many it keeps, its CPU.

    python bench/controller.py [--engines=500,1000,2000] [--pace=100] [--seconds=20]

The controller is that of a context on other hosts, with CURVE. Engines are fakes in this process,
which register, `pace` of them a second, answer heartbeats, and do nothing else.
"""

import argparse
import json
import os
import resource
import secrets
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import zmq
from jupyter_client.session import Session
from services import running_services

# Seconds for all to register.
PATIENCE = 120.0


def main(options: argparse.Namespace) -> None:
    """Start a controller for each number of engines, measure, print."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    print(f"load before: {os.getloadavg()[0]:.1f}, {os.cpu_count()} CPUs")
    print("engines   registered after, s   kept   CPU of the controller   of that its hub   MB")
    with running_services(), tempfile.TemporaryDirectory() as directory:
        for number in options.engines:
            here = Path(directory) / str(number)
            print(measure(here, number, options.pace, options.seconds), flush=True)


def measure(directory: Path, number: int, pace: float, seconds: float) -> str:
    """Return a line about so many engines."""
    from django.conf import settings

    from moi_django.contrib.clusters import host_processes
    from moi_django.contrib.clusters.context_settings import read_context
    from moi_django.contrib.clusters.controller import Controller

    context = {"LAUNCHER": "ssh", "HOSTS": ["nobody"], "ADDRESS": "127.0.0.1"}
    settings.MOI = {**settings.MOI, "STATE_DIR": str(directory), "CONTEXTS": {"bench": context}}
    controller = Controller(read_context("bench"))
    controller.start()
    engines = FakeEngines(json.loads(controller.engine_file.read_text()), number, pace)
    try:
        begun = time.monotonic()
        engines.run_until(lambda: engines.registered == number, PATIENCE)
        took = time.monotonic() - begun
        processes = host_processes.find(
            f"--profile-dir={(directory / 'clusters/bench/controller')}"
        )
        everything = {each for one in processes for each in [one, *one.children(recursive=True)]}
        hub = psutil.Process(controller.pid or 0)
        before = sum(map(cpu, everything)), cpu(hub)
        engines.run_until(lambda: False, seconds)
        spent = (sum(map(cpu, everything)) - before[0]) / seconds, (cpu(hub) - before[1]) / seconds
        memory = sum(each.memory_full_info().pss for each in everything) / 1e6
        with controller.connect() as known:
            kept = len(known.ids)
    finally:
        engines.close()
        controller.stop()
    shares = f"{spent[0]:21.0%}   {spent[1]:15.0%}"
    return f"{number:7}   {took:19.1f}   {kept:4}   {shares}   {memory:2.0f}"


def cpu(process: psutil.Process) -> float:
    """Return the CPU seconds of a process."""
    times = process.cpu_times()
    return float(times.user + times.system)


class FakeEngines:
    """Engines that have a heart and nothing else."""

    def __init__(self, info: dict[str, Any], number: int, pace: float) -> None:
        self._info, self._context = info, zmq.Context()
        self._context.set(zmq.MAX_SOCKETS, 3 * number + 100)
        self._keys = zmq.curve_keypair()
        self._session = Session(key=info["key"].encode())
        self._poller = zmq.Poller()
        # One ear for all: what is heard is answered by each.
        self._ear = self._connect(zmq.SUB, "hb_ping")
        self._ear.setsockopt(zmq.SUBSCRIBE, b"")
        self._poller.register(self._ear, zmq.POLLIN)
        self._number, self._pace, self._begun = number, pace, time.monotonic()
        self._hearts: list[Any] = []
        self.registered = 0

    def _register_due(self) -> None:
        """Let those register whose time has come."""
        due = min(self._number, int((time.monotonic() - self._begun) * self._pace) + 1)
        while len(self._hearts) < due:
            id = f"{secrets.token_hex(4)}-{len(self._hearts)}@nobody"
            self._hearts.append(self._connect(zmq.DEALER, "hb_pong", id))
            registrar = self._connect(zmq.DEALER, "registration", id)
            self._poller.register(registrar, zmq.POLLIN)
            self._session.send(registrar, "registration_request", content={"uuid": id})

    def _connect(self, kind: int, port: str, id: str = "") -> Any:
        socket = self._context.socket(kind)
        socket.linger = 0
        if id:
            socket.setsockopt(zmq.IDENTITY, id.encode())
        socket.setsockopt(zmq.CURVE_SERVERKEY, self._info["curve_serverkey"].encode())
        socket.setsockopt(zmq.CURVE_PUBLICKEY, self._keys[0])
        socket.setsockopt(zmq.CURVE_SECRETKEY, self._keys[1])
        socket.connect(f"tcp://127.0.0.1:{self._info[port]}")
        return socket

    def run_until(self, condition: Any, seconds: float) -> None:
        """Answer what comes until a condition is true, for so many seconds at most."""
        until = time.monotonic() + seconds
        while not condition() and time.monotonic() < until:
            self._register_due()
            for socket, _ in self._poller.poll(100):
                parts = socket.recv_multipart()
                if socket is not self._ear:
                    self.registered += 1
                    self._poller.unregister(socket)
                    continue
                for heart in self._hearts:
                    heart.send_multipart(parts)

    def close(self) -> None:
        """Close all sockets."""
        self._context.destroy(linger=0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--engines", type=lambda text: [int(n) for n in text.split(",")], default=[500, 1000, 2000]
    )
    parser.add_argument("--pace", type=float, default=100.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    main(parser.parse_args())
