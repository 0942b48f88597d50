"""The private directory in which `moi up` says what it runs, for other commands to find.

A lock tells whether it lives: the kernel gives it back however the process ends, so there is no
process id that could be somebody else's by now.
"""

import fcntl
import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RunningServices:
    """What a live `moi up` runs."""

    redis_url: str
    # Where the controller leaves its address; None when it runs no cluster.
    connection_file: str | None = None
    # Address of the site; None when it runs no web server.
    url: str | None = None


def read_services(directory: Path) -> RunningServices | None:
    """Return what the `moi up` of a project runs, or None when none is alive and ready."""
    try:
        with (directory / "lock").open("rb") as lock:
            if try_lock(lock.fileno(), fcntl.LOCK_SH):
                return None
        return RunningServices(**json.loads((directory / "services.json").read_text()))
    except FileNotFoundError:
        return None


def try_lock(file: int, kind: int) -> bool:
    """Take a lock if nobody holds it; it is given back when the file is closed."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
