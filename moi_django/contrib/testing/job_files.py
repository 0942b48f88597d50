"""A directory for the files that jobs of tests attach, in the place of the storage of the site."""

import os
import shutil
import tempfile
from functools import partial
from pathlib import Path

from moi_django.contrib.testing.process_end import at_process_end

_directories: dict[int, str] = {}


def directory() -> str:
    """Return the directory of this process."""
    pid = os.getpid()
    if pid not in _directories:
        made = _directories[pid] = tempfile.mkdtemp(prefix="moi-test-files-")
        at_process_end(partial(shutil.rmtree, made, ignore_errors=True))
    return _directories[pid]


def clear() -> None:
    """Delete the files that jobs have attached in this process."""
    if made := _directories.get(os.getpid()):
        for kept in Path(made).iterdir():
            shutil.rmtree(kept)
