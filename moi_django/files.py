"""Files that jobs attach, kept by Django's storage API; Redis knows which there are.

An engine imports this module too, so Django is imported where it is needed.
"""

import io
import json
import mimetypes
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from moi_django.exceptions import InvalidJob, MoiError
from moi_django.models import clean
from moi_django.store import Store

FOLDER = "moi"
NAME_LIMIT = 200


@dataclass(frozen=True, slots=True)
class Attached:
    """A file of a job."""

    name: str
    # Where the storage has it.
    path: str
    # In bytes.
    size: int
    # MIME type, guessed from its name.
    type: str


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where a site keeps the files of its jobs."""

    # Alias in settings.STORAGES.
    storage: str
    # Greatest size of one file in bytes.
    limit: int

    def attach(self, store: Store, id: str, name: str, content: Any) -> Attached:
        """Keep a file with a job: bytes, or the path of a file. One of that name is replaced.

        Raises InvalidJob when the name or the file cannot be kept; MoiError without Django.
        """
        name = _checked_name(name)
        size = _size(content)
        if size > self.limit:
            raise InvalidJob(
                f"The file {name!r} has {size:,} bytes; MOI['FILE_LIMIT'] is {self.limit:,}."
            )
        path = self._save(f"{FOLDER}/{id}/{name}", content)
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        attached = Attached(name, path, size, kind)
        store.keep_file(id, name, json.dumps(asdict(attached)))
        return attached

    def _save(self, path: str, content: Any) -> str:
        from django.core.files import File

        storage = self._storage()
        storage.delete(path)
        if isinstance(content, bytes):
            return storage.save(path, File(io.BytesIO(content)))
        with Path(content).open("rb") as file:
            return storage.save(path, File(file))

    def open(self, attached: Attached) -> Any:
        """Open a file that is kept. Raises FileNotFoundError when it is gone."""
        return self._storage().open(attached.path)

    def discard(self, id: str) -> None:
        """Delete all files of a job."""
        storage, folder = self._storage(), f"{FOLDER}/{id}"
        try:
            _, names = storage.listdir(folder)
        except FileNotFoundError:
            return
        for name in names:
            storage.delete(f"{folder}/{name}")
        storage.delete(folder)

    def sweep(self, store: Store) -> int:
        """Delete the files of jobs that were removed or have expired; return of how many."""
        gone = store.outlived_by_files()
        for id in gone:
            self.discard(id)
            store.forget_files(id)
        return len(gone)

    def _storage(self) -> Any:
        if not os.environ.get("DJANGO_SETTINGS_MODULE"):
            raise MoiError(
                "Files are kept by Django: start the engines with DJANGO_SETTINGS_MODULE set."
            )
        from django.core.files.storage import storages

        return storages[self.storage]


def attached_to(store: Store, id: str) -> dict[str, Attached]:
    """Return the files of a job by their names."""
    noted = sorted(store.files(id).items())
    return {name: Attached(**json.loads(raw)) for name, raw in noted if _is_plain(name)}


def _size(content: Any) -> int:
    if isinstance(content, bytes):
        return len(content)
    if not isinstance(content, (str, os.PathLike)):
        raise InvalidJob(f"A file is bytes or a path, not {type(content).__name__}.")
    try:
        return Path(content).stat().st_size
    except OSError as error:
        raise InvalidJob(f"The file {os.fspath(content)!r} cannot be read: {error}.") from error


def _checked_name(name: object) -> str:
    text = clean(name) if isinstance(name, str) else ""
    if not _is_plain(text):
        raise InvalidJob(
            f"{name!r} is no name for a file: give up to {NAME_LIMIT} characters without slashes."
        )
    return text


def _is_plain(name: str) -> bool:
    is_safe = name.isprintable() and name not in ("", ".", "..") and not set(name) & set("/\\")
    return is_safe and len(name) <= NAME_LIMIT
