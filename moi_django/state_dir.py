"""The private directory in which `moi up` says what it runs, for other commands to find.

A lock tells whether it lives: the kernel gives it back however the process ends, so there is no
process id that could be somebody else's by now.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
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
            if _try_lock(lock.fileno(), fcntl.LOCK_SH):
                return None
        return RunningServices(**json.loads((directory / "services.json").read_text()))
    except FileNotFoundError:
        return None


def write_services(directory: Path, services: RunningServices) -> None:
    """Say what runs; a reader finds all of it or what was there before."""
    draft = directory / "services.json.new"
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(asdict(services), file)
    draft.replace(directory / "services.json")


@contextmanager
def lock_state_dir(directory: Path) -> Iterator[None]:
    """Be the one `moi up` of a project.

    Raises ServiceError when there is another one, or when the directory is not ours alone.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if directory.stat().st_uid != os.getuid():
        raise ServiceError(f"{directory} belongs to another user: set MOI['STATE_DIR'].")
    directory.chmod(0o700)
    if not any(directory.iterdir()):
        (directory / ".gitignore").write_text("*\n")  # keys of the cluster are kept here
    with (directory / "lock").open("wb") as lock:
        if not _try_lock(lock.fileno(), fcntl.LOCK_EX):
            raise ServiceError(f"`moi up` already runs for this project (it holds {lock.name}).")
        file = directory / "services.json"
        file.unlink(missing_ok=True)
        try:
            yield
        finally:
            file.unlink(missing_ok=True)


def _try_lock(file: int, kind: int) -> bool:
    """Take a lock if nobody holds it; it is given back when the file is closed."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
