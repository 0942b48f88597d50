"""Look at the file with the address of a controller, at its ports, and ask what it knows."""

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moi_django.contrib.doctor.engine_report import TIMEOUT, probe_port
from moi_django.contrib.doctor.finding import Finding, count, fault, ok

# Which check a port belongs to.
CHECK_OF_PORT = {
    "registration": "port-registration",
    "notification": "port-registration",
    "task": "port-task",
    "mux": "port-mux",
    "broadcast": "port-mux",
    "hb_ping": "port-heartbeat",
    "hb_pong": "port-heartbeat",
    "control": "port-control",
    "iopub": "port-control",
}
# What goes on without them, and what does not.
EFFECTS = {
    "port-registration": "no engine can register, nobody can ask for engines",
    "port-task": "an engine registers and looks well, and no job reaches it",
    "port-mux": "engines cannot be asked what they do",
    "port-heartbeat": "an engine that says it is registered is never in the list",
    "port-control": "jobs run, and engines cannot be told to end",
}
WILDCARDS = ("*", "0.0.0.0", "::")  # noqa: S104 - they are read, not bound
START = "start one with `manage.py moi up` or `moi cluster start`, or name its file"
OPEN = "open it in the firewalls between the hosts, for connections that stay idle too"


@dataclass(frozen=True, slots=True)
class Connection:
    """Where a controller is, as its file says."""

    path: Path
    host: str
    # True when it listens at the loopback interface alone.
    is_loopback: bool
    # The host that has written the file, or the address under which it is reached.
    location: str
    ports: dict[str, int]
    said: dict[str, Any] = field(repr=False)

    @classmethod
    def read(cls, path: Path) -> "Connection":
        """Read a file. Raises OSError, or ValueError for one that is none."""
        try:
            said = json.loads(path.read_text())
            interface = said["interface"].partition("://")[2]
            ports = dict(_ports(said))
            location, key = said["location"] or "", said["key"]
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"it is no connection file of ipyparallel ({error!r})") from error
        if not isinstance(key, str):
            raise ValueError("it has no key")
        host = (_reached_at(location) if interface in WILDCARDS else interface) or "127.0.0.1"
        is_loopback = interface.startswith("127.") or interface in ("localhost", "::1")
        return cls(path, host, is_loopback, location, ports, said)


def _ports(said: dict[str, Any]) -> Iterator[tuple[str, int]]:
    for name in CHECK_OF_PORT:
        given = said.get(name)
        for port in given if isinstance(given, list) else [given]:
            if isinstance(port, int):
                yield name, port


def _reached_at(location: str) -> str:
    return "127.0.0.1" if location == socket.gethostname() else location


def examine_file(path: Path, where: str) -> tuple[list[Finding], Connection | None]:
    """Return what is found of a file, and what it says."""
    try:
        connection = Connection.read(path)
    except FileNotFoundError:
        return [fault("connection-file", f"there is no {path}", START, where)], None
    except (OSError, ValueError) as error:
        text = f"{path} cannot be read: {error}"
        return [fault("connection-file", text, "copy that of the controller", where)], None
    return [], connection


def examine_ports(connection: Connection, where: str) -> list[Finding]:
    """Return what is found when each port is connected to, from this host."""
    if problem := find_unknown_name(connection, where):
        return [problem]
    with ThreadPoolExecutor(len(connection.ports) or 1) as threads:
        probes = {
            name: threads.submit(probe_port, connection.host, port)
            for name, port in connection.ports.items()
        }
        return judge_ports(
            connection, {name: probe.result() for name, probe in probes.items()}, where
        )


def find_unknown_name(connection: Connection, where: str) -> Finding | None:
    """Return a fault when this host does not know the controller's by its name."""
    with ThreadPoolExecutor(1) as thread:
        asked = thread.submit(socket.getaddrinfo, connection.host, None)
        try:
            asked.result(TIMEOUT * 2)
        except (OSError, TimeoutError):
            return fault(
                "controller-address",
                f"{connection.path.name} says that the controller is at {connection.host!r}, "
                "a name that is not known here",
                "start it with --location=ADDRESS that engines reach (ADDRESS of the context)",
                where,
            )
    return None


def judge_ports(connection: Connection, problems: dict[str, str], where: str = "") -> list[Finding]:
    """Return what it means that some ports cannot be reached."""
    host, path = connection.host, connection.path
    kinds = set(problems.values())
    if kinds == {""}:
        return [ok("port-registration", f"all {len(problems)} ports at {host} answer", where)]
    if kinds == {"refused"}:
        if connection.is_loopback and connection.location != socket.gethostname():
            return [_loopback(connection, where)]
        return [
            fault(
                "connection-file",
                f"nobody listens at {host} any more where {path.name} says that the controller is",
                f"it is gone: {START}; and bring its new file to where engines are started",
                where,
            )
        ]
    if len(kinds) == 1:
        [problem] = kinds
        return [
            fault(
                "controller-address",
                f"the controller's host {host} cannot be reached: {problem}",
                "see the route and firewalls to it, and --location (ADDRESS of the context)",
                where,
            )
        ]
    found: dict[str, list[str]] = {}
    for name, problem in problems.items():
        if problem:
            port = f"{name} ({host}:{connection.ports[name]}) {problem}"
            found.setdefault(CHECK_OF_PORT[name], []).append(port)
    return [
        fault(check, f"{', '.join(ports)}; {EFFECTS[check]}", OPEN, where)
        for check, ports in found.items()
    ]


def _loopback(connection: Connection, where: str) -> Finding:
    return fault(
        "controller-loopback",
        f"the controller at {connection.location} listens at {connection.host} alone, where no "
        "other host reaches it",
        "start it with --ip=* and with CURVE, as `moi cluster start` does for such a context",
        where,
    )


def examine_loopback(connection: Connection, is_elsewhere: bool, where: str) -> list[Finding]:
    """Return a fault when engines of other hosts are to reach a loopback interface."""
    return [_loopback(connection, where)] if connection.is_loopback and is_elsewhere else []


def ask_hub(connection: Connection, question: str, **content: Any) -> dict[str, Any] | None:
    """Ask a controller; return its answer, or None when it does not understand who asks."""
    import zmq
    from jupyter_client.session import Session

    said = connection.said
    session = Session(
        key=said["key"].encode(),
        signature_scheme=said.get("signature_scheme", "hmac-sha256"),
        packer=said.get("pack", "json"),
        unpacker=said.get("unpack", "json"),
    )
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.linger = 0
        if server_key := said.get("curve_serverkey"):
            socket.curve_serverkey = server_key.encode()
            socket.curve_publickey, socket.curve_secretkey = zmq.curve_keypair()
        socket.connect(f"tcp://{connection.host}:{connection.ports['registration']}")
        session.send(socket, question, content=content)
        if not socket.poll(int(TIMEOUT * 1000)):
            return None
        try:
            _, answer = session.recv(socket, mode=0)
        except ValueError:  # it is not signed as it should be
            return None
        found: dict[str, Any] | None = answer and answer["content"]
        return found


def examine_key(connection: Connection, where: str) -> tuple[list[Finding], dict[str, str] | None]:
    """Return whether the controller answers who has this file, and its engines: number -> id."""
    answer = ask_hub(connection, "connection_request")
    if answer is None:
        return [
            fault(
                "connection-key",
                f"{connection.host} takes connections and does not answer: {connection.path.name} "
                "is that of an earlier controller, or the controller hangs",
                "bring the present file to this host; the controller's log says Invalid Signature",
                where,
            )
        ], None
    engines: dict[str, str] = answer["engines"]
    text = f"the controller at {connection.host} answers and has {count(engines)}"
    return [ok("connection-key", text, where)], engines
