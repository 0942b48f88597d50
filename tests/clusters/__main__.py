"""Run these tests and leave nothing behind: `python -m tests.clusters [arguments of pytest]`.

Clusters outlive the program that has started them, and batch jobs the batch system. What a test
leaves that fails or is interrupted, the kernel gives to this process, which ends it.
"""

import ctypes
import os
import signal
import subprocess
import sys

import psutil

from moi_django.contrib.services import parent_death
from tests.clusters.hosts import NETWORKS, remove_network
from tests.helpers.processes import ROOT

PR_SET_CHILD_SUBREAPER = 36
# As many at once as there are cores and one more: they wait for the most part.
PYTEST = (sys.executable, "-m", "pytest", "-n", "3", "--dist=loadfile", "tests/clusters")
# Seconds in which a process has ended that is killed.
KILL_TIMEOUT = 10


def main(arguments: list[str]) -> int:
    """Run pytest; return its code."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    env = {**os.environ, "MOI_CLUSTER_LABS": "1"}
    command = parent_death.with_parent_death_signal([*PYTEST, *arguments], signal.SIGINT)
    tests = subprocess.Popen(command, env=env, cwd=ROOT)
    # Ctrl-C reaches both; pytest ends in order, and then it is our turn.
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: tests.send_signal(signal.SIGINT))
    code = _reap_until(tests.pid)
    _kill_descendants()
    for name in NETWORKS:
        remove_network(name)
    return code


def _reap_until(pid: int) -> int:
    """Do what process 1 does for processes without a parent, until one ends; return its code."""
    while True:
        ended, status = os.wait()
        if ended == pid:
            return os.waitstatus_to_exitcode(status)


def _kill_descendants() -> None:
    """Kill what is left, and what that has started meanwhile."""
    while found := psutil.Process().children(recursive=True):
        for process in found:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue  # it has just ended
        psutil.wait_procs(found, KILL_TIMEOUT)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
