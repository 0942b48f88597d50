"""Say in the private directory of a project what its `moi up` runs, of which there is but one."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from moi_django.exceptions import ServiceError
from moi_django.state_dir import RunningServices, try_lock

# What `moi reconcile` says first.
RECONCILING = "looking after jobs (Ctrl-C stops)"


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
        if not try_lock(lock.fileno(), fcntl.LOCK_EX):
            raise ServiceError(f"`moi up` already runs for this project (it holds {lock.name}).")
        file = directory / "services.json"
        file.unlink(missing_ok=True)
        try:
            yield
        finally:
            file.unlink(missing_ok=True)
