"""Run Slurm with three virtual nodes, Grid Engine and sshd on this machine while a block runs.

All that they keep is in a directory of the lab, and they end with the program that runs it: nothing
of the system is changed, and nothing is left.
"""

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from moi_django.contrib.services import parent_death
from tests.helpers.processes import free_port

SLURM_CONF = """
ClusterName=moilab
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={directory}/munge.socket
CryptoType=crypto/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=100
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
SlurmdSpoolDir={directory}/spool/%n
StateSaveLocation={directory}/state
SlurmctldLogFile={directory}/slurmctld.log
SlurmdLogFile={directory}/slurmd.%n.log
SlurmctldPidFile={directory}/slurmctld.pid
SlurmdPidFile={directory}/slurmd.%n.pid
SchedulerType=sched/backfill
SchedulerParameters=sched_min_interval=200000,batch_sched_delay=0
SlurmctldTimeout=30
SlurmdTimeout=30
KillWait=5
SlurmdParameters=config_overrides
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=4 RealMemory=2000
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=4 RealMemory=2000
NodeName=n3 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[3]} CPUs=8 RealMemory=64000
PartitionName=lab Nodes=n[1-2] Default=YES MaxTime=INFINITE State=UP
PartitionName=large Nodes=n3 MaxTime=INFINITE State=UP
"""
NODES = ("n1", "n2", "n3")


@contextmanager
def slurm(directory: Path) -> Iterator[dict[str, str]]:
    """Run a controller and three nodes; gives the environment in which its programs find it."""
    for name in ("state", *(f"spool/{node}" for node in NODES)):
        (directory / name).mkdir(parents=True)
    conf = directory / "slurm.conf"
    ports = [free_port() for _ in range(4)]
    conf.write_text(SLURM_CONF.format(host=socket.gethostname(), ports=ports, directory=directory))
    env = {"SLURM_CONF": str(conf)}
    with ExitStack() as daemons:
        daemons.enter_context(_munge(directory))
        for command in (["slurmctld"], *(["slurmd", "-N", node] for node in NODES)):
            daemons.enter_context(daemon([*command, "-D", "-f", conf], directory))
        wait_for(lambda: run("sinfo", "-h", "-N", "-o", "%T", env=env).split() == ["idle"] * 3)
        yield env


@contextmanager
def _munge(directory: Path) -> Iterator[None]:
    """Run what proves to Slurm who asks, with a key of the lab's own."""
    names = {name: directory / f"munge.{name}" for name in ("key", "socket", "pid", "log", "seed")}
    names["key"].write_bytes(os.urandom(128))
    names["key"].chmod(0o600)
    command = ["munged", "--foreground", "--force", f"--socket={names.pop('socket')}"]
    command += [f"--{name}-file={path}" for name, path in names.items()]
    with daemon(command, directory):
        ask = ("munge", "-n", "--socket", directory / "munge.socket")
        wait_for(lambda: not subprocess.run(ask, capture_output=True).returncode)
        yield


SSHD_CONFIG = """
Port {port}
ListenAddress {address}
HostKey {directory}/hostkey
AuthorizedKeysFile {directory}/id.pub
PidFile none
SetEnv HOME={directory}/home
UsePAM no
StrictModes no
PasswordAuthentication no
"""
SSH_CONFIG = """
Host *
  User root
  StrictHostKeyChecking accept-new
  UserKnownHostsFile {directory}/known_hosts
  IdentityFile {directory}/id
  IdentitiesOnly yes
"""
# Two hosts that are this one.
ALIASES = """
Host {hosts}
  HostName 127.0.0.1
  Port {port}
"""


@contextmanager
def ssh(directory: Path) -> Iterator[Path]:
    """Run sshd for the hosts `hosta` and `hostb`, which are this one; gives a file for ssh -F."""
    port, config = free_port(), make_ssh_config(directory)
    config.write_text(ALIASES.format(hosts="hosta hostb", port=port) + config.read_text())
    with sshd(directory, "127.0.0.1", port):
        yield config


def make_ssh_config(directory: Path) -> Path:
    """Make keys; return a file for ssh -F by which they are used."""
    for name in ("hostkey", "id"):
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory / name)
    (directory / "home").mkdir()
    (directory / "config").write_text(SSH_CONFIG.format(directory=directory))
    return directory / "config"


@contextmanager
def sshd(directory: Path, address: str, port: int, prefix: Sequence[str] = ()) -> Iterator[None]:
    """Run a sshd that knows the keys of a directory, in which its users are at home."""
    file = directory / f"sshd-{address}"
    file.write_text(SSHD_CONFIG.format(port=port, address=address, directory=directory))
    Path("/run/sshd").mkdir(exist_ok=True)
    with daemon([*prefix, "/usr/sbin/sshd", "-D", "-f", file], directory):
        yield


# What Debian has of Grid Engine, and what init_cluster does not write.
SGE_HOME, SGE_PARTS = Path("/var/lib/gridengine"), ("bin", "lib", "util", "utilbin")
BOOTSTRAP = """\
admin_user none
default_domain none
ignore_fqdn false
spooling_method berkeleydb
spooling_lib libspoolb
spooling_params {spool}/db
binary_path /usr/sbin
qmaster_spool_dir {spool}/qmaster
security_mode none
listener_threads 2
worker_threads 2
scheduler_threads 1
"""
QUEUE = {
    "qname": "lab",
    "hostlist": "@allhosts",
    "slots": "8",
    "load_thresholds": "NONE",
    "pe_list": "NONE",
    "shell": "/bin/sh",
    "shell_start_mode": "unix_behavior",
}
HOST = "hostname localhost\n" + "".join(
    f"{name} NONE\n"
    for name in (
        *("load_scaling", "complex_values", "user_lists", "xuser_lists"),
        *("projects", "xprojects", "usage_scaling", "report_variables"),
    )
)


@contextmanager
def grid_engine(directory: Path) -> Iterator[dict[str, str]]:
    """Run Grid Engine; gives the environment of its programs."""
    env = {
        "SGE_ROOT": str(_sge_root(directory)),
        "SGE_CELL": "default",
        "SGE_QMASTER_PORT": str(free_port()),
        "SGE_EXECD_PORT": str(free_port()),
        "SGE_ND": "true",  # they stay where they are started
    }
    with daemon(["sge_qmaster"], directory, env):
        wait_for(lambda: _answers("qconf", "-sh", env=env))
        _configure(directory, env)
        with daemon(["sge_execd"], directory, env):
            wait_for(lambda: "lx-amd64" in run("qhost", env=env))
            yield env


def _sge_root(directory: Path) -> Path:
    """Make an installation of the lab's own beside that of the system."""
    root, spool = directory / "root", directory / "spool"
    common = root / "default/common"
    for made in (common, *(spool / name for name in ("db", "qmaster", "execd"))):
        made.mkdir(parents=True)
    for name in SGE_PARTS:
        (root / name).symlink_to(SGE_HOME / name)
    (common / "bootstrap").write_text(BOOTSTRAP.format(spool=spool))
    init = "/usr/share/gridengine/scripts/init_cluster"
    run(init, root, "default", spool / "db", "root")
    (common / "host_aliases").write_text(f"localhost {socket.gethostname()}\n")
    return root


def _configure(directory: Path, env: dict[str, str]) -> None:
    """Make a queue, and let root submit and the scheduler hurry and explain."""
    own = {
        "execd_spool_dir": str(directory / "spool/execd"),
        "min_uid": "0",
        "min_gid": "0",
        "load_report_time": "00:00:05",
    }
    hurried = {
        "schedule_interval": "0:0:1",
        "flush_submit_sec": "1",
        "flush_finish_sec": "1",
        "schedd_job_info": "true",
    }
    files = {
        "host": HOST,
        "group": "group_name @allhosts\nhostlist localhost\n",
        "queue": _changed(run("qconf", "-sq", env=env), QUEUE),
        "global": _changed(run("qconf", "-sconf", env=env), own),
        "scheduler": _changed(run("qconf", "-ssconf", env=env), hurried),
    }
    for name, text in files.items():
        (directory / name).write_text(text)
    run("qconf", "-as", "localhost", env=env)
    for option, name in (("-Ae", "host"), ("-Ahgrp", "group"), ("-Aq", "queue")):
        run("qconf", option, directory / name, env=env)
    run("qconf", "-Mconf", directory / "global", env=env)
    run("qconf", "-Msconf", directory / "scheduler", env=env)


def _changed(text: str, values: dict[str, str]) -> str:
    """Return a configuration of Grid Engine with other values."""
    lines = text.replace("\\\n", " ").splitlines()
    return "\n".join(
        f"{line.split()[0]} {values[line.split()[0]]}"
        if line.split()[:1] and line.split()[0] in values
        else line
        for line in lines
    )


def _answers(*command: str, env: dict[str, str]) -> bool:
    ran = subprocess.run(command, env={**os.environ, **env}, capture_output=True)
    return ran.returncode == 0


@contextmanager
def daemon(
    command: Sequence[object], directory: Path, env: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run what serves a lab and stays where it is started."""
    with (directory / "daemons.log").open("ab") as log:
        process = subprocess.Popen(
            parent_death.with_parent_death_signal([str(each) for each in command]),
            env={**os.environ, **(env or {})},
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def run(*command: object, env: dict[str, str] | None = None, given: str = "") -> str:
    """Run a program of a lab; return what it writes."""
    ran = subprocess.run(
        [str(each) for each in command],
        env={**os.environ, **(env or {})},
        input=given,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, f"{command}: {ran.stdout}{ran.stderr}"
    return ran.stdout


def wait_for(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Return what a condition returns once that is true."""
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "It did not come to pass."
        time.sleep(0.2)
    return found
