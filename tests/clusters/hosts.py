"""Hosts on this machine whose links can be cut: network namespaces on a bridge."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.clusters.labs import daemon, make_ssh_config, run, sshd, wait_for
from tests.helpers.processes import environment

# Each network by its name, which is that of its bridge, and in those of its hosts.
FARM, PAIR = "moifarm", "moipair"
WEB, HOST_A, HOST_B = "moiweb", "moia", "moib"
SITE, ENGINES = "moisite", "moiengines"
NETWORKS = {
    FARM: {WEB: "10.77.0.1", HOST_A: "10.77.0.2", HOST_B: "10.77.0.3"},
    PAIR: {SITE: "10.78.0.1", ENGINES: "10.78.0.2"},
}
ADDRESSES = {host: address for hosts in NETWORKS.values() for host, address in hosts.items()}


@contextmanager
def network(name: str) -> Iterator[None]:
    """Have the hosts of a network, each with a link to the others."""
    remove_network(name)
    try:
        run("ip", "link", "add", name, "type", "bridge")
        run("ip", "link", "set", name, "up")
        for host, address in NETWORKS[name].items():
            _add(host, address, name)
        yield
    finally:
        remove_network(name)


def _add(host: str, address: str, bridge: str) -> None:
    run("ip", "netns", "add", host)
    run("ip", "link", "add", f"v{host}", "type", "veth", "peer", "name", "eth0", "netns", host)
    run("ip", "link", "set", f"v{host}", "master", bridge, "up")
    for command in (f"addr add {address}/24 dev eth0", "link set eth0 up", "link set lo up"):
        run(*inside(host), "ip", *command.split())


def remove_network(name: str) -> None:
    """Remove its hosts with all that runs there, be it that a run was killed which had made it."""
    for host in NETWORKS[name]:
        found = subprocess.run(["ip", "netns", "pids", host], capture_output=True, text=True)
        for pid in map(int, found.stdout.split()):
            os.kill(pid, signal.SIGKILL)
        subprocess.run(["ip", "netns", "delete", host], capture_output=True)
        subprocess.run(["ip", "link", "delete", f"v{host}"], capture_output=True)
    subprocess.run(["ip", "link", "delete", name], capture_output=True)


def inside(host: str) -> list[str]:
    """Return what a command begins with that is to run on a host."""
    return ["ip", "netns", "exec", host]


def named(host: str) -> list[str]:
    """Return the same for one that is to find the name of the host, too."""
    return [*inside(host), "unshare", "-u", "sh", "-c", f'hostname {host} && exec "$@"', "sh"]


@contextmanager
def without_link(host: str) -> Iterator[None]:
    """Pull the cable of a host."""
    run(*inside(host), "ip", "link", "set", "eth0", "down")
    try:
        yield
    finally:
        run(*inside(host), "ip", "link", "set", "eth0", "up")


@contextmanager
def without_ports(host: str, other: str, ports: list[int]) -> Iterator[None]:
    """Let what goes between a host and ports of another get lost, on open connections too."""
    numbers = ("-p", "tcp", "-m", "multiport")
    listed = ",".join(map(str, ports))
    away = ("OUTPUT", "-d", ADDRESSES[other], *numbers, "--dports", listed)
    back = ("INPUT", "-s", ADDRESSES[other], *numbers, "--sports", listed)
    with _dropped(host, *away), _dropped(host, *back):
        yield


@contextmanager
def shut(host: str, port: int) -> Iterator[None]:
    """Let a host hear nothing that comes to a port of it, as behind a firewall."""
    with _dropped(host, "INPUT", "-p", "tcp", "--dport", str(port)):
        yield


@contextmanager
def _dropped(host: str, *rule: str) -> Iterator[None]:
    run(*inside(host), "iptables", "-A", *rule, "-j", "DROP")
    try:
        yield
    finally:
        run(*inside(host), "iptables", "-D", *rule, "-j", "DROP")


def for_seconds(seconds: float) -> None:
    """Let a cut last: its length is what is tested."""
    time.sleep(seconds)


# Ports of a controller to which engines connect.
PORTS = ("registration", "mux", "task", "control", "iopub", "hb_ping", "hb_pong", "broadcast")


def controller_ports(file: Path) -> dict[str, list[int]]:
    """Return the ports to which the engines of a controller connect, by what they are for."""
    said = json.loads(file.read_text())
    found = {name: said[name] for name in PORTS}
    return {name: port if isinstance(port, list) else [port] for name, port in found.items()}


REDIS_PORT = 8149
# Debian's redis-tools has the server under this name; it does what the name says that it is given.
REDIS = ("redis-server", "/usr/bin/redis-check-rdb")
PASSWORD = "of-the-lab"
REDIS_CONF = """
port 0
tls-port {port}
bind {address}
tls-cert-file {directory}/redis.crt
tls-key-file {directory}/redis.key
tls-ca-cert-file {directory}/redis.crt
tls-auth-clients no
requirepass {password}
save ""
"""


@dataclass(frozen=True)
class Farm:
    """The hosts WEB, HOST_A and HOST_B: Redis on the first, sshd on the others."""

    ssh_config: Path
    redis_url: str


@contextmanager
def farm(directory: Path) -> Iterator[Farm]:
    """Have the hosts, with what runs there."""
    with ExitStack() as stack:
        stack.enter_context(network(FARM))
        stack.enter_context(_redis(directory))
        config = make_ssh_config(directory)
        for host in (HOST_A, HOST_B):
            stack.enter_context(sshd(directory, ADDRESSES[host], 22, named(host)))
        at = f"{ADDRESSES[WEB]}:{REDIS_PORT}/0?ssl_ca_certs={directory / 'redis.crt'}"
        yield Farm(config, f"rediss://:{PASSWORD}@{at}")


@contextmanager
def _redis(directory: Path) -> Iterator[None]:
    """Run Redis on WEB over TLS and with a password."""
    address, file = ADDRESSES[WEB], directory / "redis.conf"
    certificate = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    certificate += ["-subj", "/CN=lab", "-addext", f"subjectAltName=IP:{address}"]
    for option, suffix in (("-keyout", "key"), ("-out", "crt")):
        certificate += [option, str(directory / f"redis.{suffix}")]
    run("openssl", *certificate)
    given = {"port": REDIS_PORT, "directory": directory, "password": PASSWORD}
    file.write_text(REDIS_CONF.format(address=address, **given))
    name, program = REDIS
    command = f"exec -a {name} {program} {shlex.quote(str(file))}"
    with daemon([*inside(WEB), "/bin/bash", "-c", command], directory):
        asks = [*inside(WEB), "redis-cli", "--tls", "--cacert", str(directory / "redis.crt")]
        asks += ["-h", address, "-p", str(REDIS_PORT), "-a", PASSWORD, "ping"]
        wait_for(lambda: subprocess.run(asks, capture_output=True).stdout == b"PONG\n")
        yield


@contextmanager
def controller(directory: Path, *arguments: str) -> Iterator[Path]:
    """Run a controller on SITE; gives the file for its engines."""
    directory.mkdir()
    file = directory / "security/ipcontroller-engine.json"
    command = [*inside(SITE), sys.executable, "-m", "ipyparallel.controller"]
    command += [f"--profile-dir={directory}", "--IPController.broadcast_scheduler_depth=0"]
    with daemon([*command, "--nodb", *arguments], directory):
        said = directory / "daemons.log"
        wait_for(lambda: file.exists() and "Task scheduler started" in said.read_text())
        yield file


def doctor_says(file: Path, *arguments: str) -> set[str]:
    """Return the faults that the doctor finds on ENGINES."""
    # A host has a name of its own, by which a file of another one is known.
    command = [*named(ENGINES), sys.executable, "-m", "moi_django.doctor", str(file), "--json"]
    env = environment()
    env.pop("DJANGO_SETTINGS_MODULE")  # which it would import
    ran = subprocess.run(
        [*command, *arguments], env=env, capture_output=True, text=True, timeout=30
    )
    found = json.loads(ran.stdout)["findings"]
    faults = {each["check"] for each in found if each["level"] == "FAULT"}
    assert ran.returncode == bool(faults), ran.stderr
    return faults
