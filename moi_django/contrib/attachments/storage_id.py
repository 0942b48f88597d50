"""Tell one directory with files from another: each has an id of its own, in a file.

An engine whose directory has the id of the site's shares it, wherever it is mounted.
"""

import os
import uuid
from pathlib import Path
from typing import Any

# Below the folder with the files of jobs.
NAME = ".storage-id"
# The id of a directory that cannot be told, and is taken to be the site's.
UNKNOWN = ""


def read_id(storage: Any, folder: str) -> str | None:
    """Return the id of a storage's directory, "" without one; None for what is no directory."""
    from django.core.files.storage import FileSystemStorage

    if not isinstance(storage, FileSystemStorage):
        return None
    try:
        return (Path(storage.location) / folder / NAME).read_text()
    except OSError:
        return UNKNOWN


def make_id(storage: Any, folder: str) -> str | None:
    """Return the same; a directory that has none gets one, unless it cannot be written."""
    id = read_id(storage, folder)
    if id != UNKNOWN:
        return id
    directory = Path(storage.location) / folder
    draft = directory / f"{NAME}-{uuid.uuid4().hex}"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        draft.write_text(uuid.uuid4().hex)
        try:
            os.link(draft, directory / NAME)  # unless another process was faster
        finally:
            draft.unlink()
    except OSError:
        return read_id(storage, folder)
    return read_id(storage, folder)
