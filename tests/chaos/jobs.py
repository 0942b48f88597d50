"""What jobs do under chaos; imported by each of their processes, so it imports little."""

import os
import time

import psutil


def work(ledger: str, number: int, seconds: float, fails: bool, leaves: bool, status_update) -> int:
    """Be a job: note that it has begun, take some time, perhaps leave a daemon, perhaps fail."""
    engine = psutil.Process(os.getppid()).ppid()
    note(ledger, "begun", number, os.getpid(), engine)
    if leaves:
        start_daemon()
    for step in range(3):
        time.sleep(seconds / 3)
        status_update(f"step {step}")
    note(ledger, "done", number, os.getpid(), engine)
    if fails:
        raise ValueError(f"job {number} fails")
    return number


def note(ledger: str, *words: object) -> None:
    """Add a line to the ledger."""
    with open(ledger, "a") as file:
        file.write(" ".join(map(str, words)) + "\n")


def start_daemon() -> None:
    """Start a program that has neither a parent nor a session in common with this process."""
    if (child := os.fork()) == 0:
        os.setsid()
        if os.fork() == 0:
            os.execlp("sleep", "sleep", "100000")
        os._exit(0)
    os.waitpid(child, 0)
