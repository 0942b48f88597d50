"""Run systemd as process 1 of namespaces of its own, on a copy of the machine's files."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import django

from moi_django.contrib.services import parent_death
from tests.clusters.labs import wait_for
from tests.helpers.processes import ROOT

BOOT = Path(__file__).with_name("boot_systemd.sh")
PACKAGES = Path(django.__file__).parents[1]
NAMESPACES = ("--mount", "--pid", "--cgroup", "--ipc", "--uts", "--net")
SYSTEMD = Path("/lib/systemd/systemd")


def missing() -> str:
    """Return what a machine needs for this and this one lacks; empty when there is all."""
    if not SYSTEMD.exists() or not shutil.which("systemd-analyze"):
        return "systemd (apt-get install systemd)"
    return "" if _cgroup_roots() else "control groups of version 2"


class Machine:
    """What `systemctl` and others are called on; its files are those of this machine at first."""

    def __init__(self, pid: int) -> None:
        self._enter = ["nsenter", f"--target={pid}", *NAMESPACES]

    def call(self, *command: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """Run a program there as root."""
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return subprocess.run(
            [*self._enter, *command],
            env={"PATH": path, "LANG": "C.UTF-8"},
            input=given,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def run(self, *command: str, given: str = "") -> str:
        """Run a program there that has to succeed; return what it writes."""
        ran = self.call(*command, given=given)
        assert ran.returncode == 0, f"{command}: {ran.stdout}{ran.stderr}{self.journal()}"
        return ran.stdout

    def write(self, path: str, text: str, mode: str = "644") -> None:
        """Write a file there."""
        self.run("install", "-D", "-m", mode, "/dev/stdin", path, given=text)

    def journal(self) -> str:
        """Return the last that services have said."""
        return self.call("journalctl", "-n", "60", "--no-pager").stdout


@contextmanager
def machine(directory: Path) -> Iterator[Machine]:
    """Boot one, and end it with all that runs on it."""
    group = _cgroup_roots()[0] / f"moi-{os.getpid()}"
    group.mkdir()
    (directory / "files").mkdir()
    files = [directory / "files", sys.base_prefix, PACKAGES, ROOT]
    command = ["unshare", "--fork", "--kill-child", *NAMESPACES, "/bin/sh", BOOT, *files]
    booted = subprocess.Popen(
        parent_death.with_parent_death_signal([str(each) for each in command], signal.SIGKILL),
        # It is the root of what systemd has of the control groups.
        preexec_fn=lambda: (group / "cgroup.procs").write_text("0"),
        stdin=subprocess.DEVNULL,
    )
    try:
        made = Machine(_child_of(booted))
        wait_for(lambda: made.call("systemctl", "is-system-running").stdout == "running\n")
        yield made
    finally:
        booted.kill()
        booted.wait()
        wait_for(lambda: _removed(group))


def _cgroup_roots() -> list[Path]:
    """Return where version 2 of control groups is mounted."""
    lines = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    return [Path(place) for _, place, kind, *_ in lines if kind == "cgroup2"]


def _child_of(process: subprocess.Popen[bytes]) -> int:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return int(str(wait_for(children.read_text)).split()[0])


def _removed(group: Path) -> bool:
    """Remove a control group with those below, once the processes in it are gone."""
    try:
        for below in sorted(group.rglob("*/"), reverse=True):
            below.rmdir()
        group.rmdir()
    except OSError:
        return False
    return True
