"""The private directory in which `moi up` says what it runs, for other commands to find.

A lock tells whether it lives: the kernel gives it back however the process ends, so there is no
process id that could be somebody else's by now.
"""

import fcntl
import json
import os
from dataclasses import dataclass
from pathlib import Path

from moi_django.exceptions import ServiceError


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


def make_private(directory: Path) -> None:
    """Make a directory for this user alone. Raises ServiceError where it is another one's."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if directory.stat().st_uid != os.getuid():
        raise ServiceError(f"{directory} belongs to another user: set MOI['STATE_DIR'].")
    directory.chmod(0o700)


def write_whole(file: Path, text: str) -> None:
    """Write a file for this user alone, in which others find what was there before, or all."""
    draft = file.with_name(f"{file.name}.new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as opened:
        opened.write(text)
    draft.replace(file)
