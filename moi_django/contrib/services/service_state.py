"""Say in the private directory of a project what its `moi up` runs, of which there is but one."""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from moi_django.exceptions import ServiceError
from moi_django.state_dir import RunningServices, make_private, try_lock, write_whole

# What `moi reconcile` says first.
RECONCILING = "looking after jobs (Ctrl-C stops)"


def write_services(directory: Path, services: RunningServices) -> None:
    """Say what runs; a reader finds all of it or what was there before."""
    write_whole(directory / "services.json", json.dumps(asdict(services)))


@contextmanager
def lock_state_dir(directory: Path) -> Iterator[None]:
    """Be the one `moi up` of a project.

    Raises ServiceError when there is another one, or when the directory is not ours alone.
    """
    make_private(directory)
    if not any(directory.iterdir()):
        (directory / ".gitignore").write_text("*\n")  # keys of the cluster are kept here
    with (directory / "lock").open("wb") as lock:
        if not try_lock(lock.fileno(), fcntl.LOCK_EX):
            raise ServiceError(f"`moi up` already runs for this project (it holds {lock.name}).")
        file = directory / "services.json"
        file.unlink(missing_ok=True)
        try:
            yield
        finally:
            file.unlink(missing_ok=True)
