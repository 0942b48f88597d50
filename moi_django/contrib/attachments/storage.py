"""Files that jobs attach, kept by Django's storage API; Redis knows which there are.

An engine imports this module too, so Django is imported where it is needed.
"""

import io
import json
import logging
import mimetypes
import os
import random
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from moi_django.contrib.attachments.delivery import Sender
from moi_django.contrib.attachments.storage_id import UNKNOWN, make_id, read_id
from moi_django.exceptions import InvalidJob, MoiError, StoreUnavailable
from moi_django.models import MAX_AMOUNT
from moi_django.store import Store
from moi_django.validation import escape_surrogates, is_uuid, parse_json, unfit_character

logger = logging.getLogger(__name__)

FOLDER = "moi"
# Seconds for which a file waits for a Redis that does not answer, and between two attempts.
LINK_PATIENCE, LINK_INTERVAL = 60.0, 1.0
# In bytes: file systems take 255, and storages add something to a name that is taken.
NAME_LIMIT = 200
# Maximum number of folders that one search for files of unknown jobs looks at.
MAX_FOLDERS = 1_000


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file of a job."""

    name: str
    # Where the storage has it.
    path: str
    # In bytes.
    size: int
    # MIME type, guessed from its name.
    type: str


@dataclass(frozen=True, slots=True)
class AttachmentStorage:
    """Where a site keeps the files of its jobs."""

    # Alias in settings.STORAGES, or a directory.
    storage: str
    # Maximum size of one file in bytes.
    limit: int
    # Id of the site's directory, None where the site has none; and what engines sign with which do
    # not share it.
    site_id: str | None = UNKNOWN
    key: bytes = field(default=b"", repr=False)

    def save(self, store: Store, id: str, name: str, content: Any) -> Attachment:
        """Keep a file with a job: bytes, or the path of a file. One of that name is replaced.

        An engine that does not share the directory of the site sends it there. A link to Redis that
        is cut for a while is waited for. Raises InvalidJob when the name or the file cannot be
        kept; MoiError when it cannot be brought to the site.
        """
        until = time.monotonic() + LINK_PATIENCE
        while True:
            try:
                return self._save(store, id, _checked_filename(name), content)
            except StoreUnavailable as error:
                if time.monotonic() > until:
                    raise
                logger.warning("The file %r is kept once Redis answers: %s", name, error)
                time.sleep(LINK_INTERVAL)

    def _save(self, store: Store, id: str, name: str, content: Any) -> Attachment:
        storage = self._shared_storage()
        if storage is None:
            with _open_content(content) as (raw, size):
                self.check_size(name, size)
                kept = Sender(store, self.key, self.site_id or "").send(id, name, raw, size)
            return Attachment(**kept)
        before = attachments_of(store, id).get(name)
        with _open_content(content) as (raw, size):
            self.check_size(name, size)
            # Under another name as long as the one before is there, which goes when this is noted.
            path = storage.save(f"{FOLDER}/{id}/{name}", _django_file(raw))
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        attached = Attachment(name, path, size, kind)
        try:
            store.artifacts.save_file(id, name, json.dumps(asdict(attached)))
        except StoreUnavailable:
            storage.delete(path)
            raise
        if before is not None and before.path != path:
            storage.delete(before.path)
        return attached

    @property
    def directory(self) -> Path | None:
        """The directory with the files of all jobs, where the storage is one."""
        location = getattr(self._storage(), "location", None)
        return Path(location) / FOLDER if isinstance(location, str) else None

    def make_id(self) -> str | None:
        """Return the id of its directory, which it gets now unless it has one; None for others."""
        return make_id(self._storage(), FOLDER)

    def check_size(self, name: str, size: int) -> None:
        """Raise InvalidJob for a file that is too large."""
        if size > self.limit:
            raise InvalidJob(
                f"The file {name!r} has {size:,} bytes; MOI['FILE_LIMIT'] is {self.limit:,}."
            )

    def _shared_storage(self) -> Any:
        """Return the storage of the site; None where this engine has another directory, or none.

        Raises MoiError where this engine has one, and the site keeps its files elsewhere.
        """
        has_django = bool(os.environ.get("DJANGO_SETTINGS_MODULE"))
        storage = self._storage() if has_django or not self.site_id else None
        if self.site_id == UNKNOWN or (storage and read_id(storage, FOLDER) == self.site_id):
            return storage
        if self.site_id is None:
            raise MoiError(
                f"STORAGES[{self.storage!r}] is a directory of this engine, and that of the site "
                "is none: start the engines with the settings of the site."
            )
        return None

    def open_file(self, attached: Attachment) -> Any:
        """Open a file that is kept. Raises FileNotFoundError when it is gone."""
        return self._storage().open(attached.path)

    def delete_all(self, id: str) -> None:
        """Delete all files of a job."""
        if not is_uuid(id):
            raise ValueError(f"{id!r} is no job's id")  # it may name any directory
        storage, folder = self._storage(), f"{FOLDER}/{id}"
        try:
            _, names = storage.listdir(folder)
        except FileNotFoundError:
            return
        for name in names:
            storage.delete(f"{folder}/{name}")
        storage.delete(folder)

    def delete_orphaned(self, store: Store) -> int:
        """Delete the files of jobs that were removed or have expired; return of how many."""
        gone = store.artifacts.gone_jobs_with_files()
        for id in gone:
            self.delete_all(id)
            store.artifacts.forget_files(id)
        return len(gone)

    def delete_unknown(self, store: Store, age: float) -> int:
        """Delete the files of jobs that Redis does not know, older than `age`; return of how many.

        Some of them: not all that is kept is looked at each time. None at all while Redis has not
        been up for as long, since it may be filled again.
        """
        storage = self._storage()
        if store.connection.server_uptime() < age:
            return 0
        try:
            folders, _ = storage.listdir(FOLDER)
        except FileNotFoundError:
            return 0
        ids = [folder for folder in folders if is_uuid(folder)]
        looked_at = random.sample(ids, min(len(ids), MAX_FOLDERS))
        unknown = [
            id for id in store.jobs.missing(looked_at) if self._seconds_since_change(id) > age
        ]
        for id in unknown:
            self.delete_all(id)
        return len(unknown)

    def _seconds_since_change(self, id: str) -> float:
        """Return the seconds since a file of a job was changed; 0 without any."""
        from django.utils import timezone

        storage, folder = self._storage(), f"{FOLDER}/{id}"
        try:
            times = [storage.get_modified_time(f"{folder}/{n}") for n in storage.listdir(folder)[1]]
        except FileNotFoundError:
            return 0.0  # another process has just discarded them
        return (timezone.now() - max(times)).total_seconds() if times else 0.0

    def _storage(self) -> Any:
        if not os.environ.get("DJANGO_SETTINGS_MODULE"):
            raise MoiError(
                "Files are kept by Django: start the engines with DJANGO_SETTINGS_MODULE set."
            )
        import django
        from django.apps import apps
        from django.core.files.storage import FileSystemStorage, storages

        if not apps.ready:
            django.setup()  # in an engine, whose jobs have a process of their own for that
        is_directory = Path(self.storage).is_absolute()
        return FileSystemStorage(self.storage) if is_directory else storages[self.storage]


def attachments_of(store: Store, id: str) -> dict[str, Attachment]:
    """Return the files of a job by their names."""
    noted = sorted(store.artifacts.load_files(id).items())
    found = {name: _parse_attachment(id, name, raw) for name, raw in noted}
    return {name: attached for name, attached in found.items() if attached is not None}


def _parse_attachment(id: str, name: str, raw: str) -> Attachment | None:
    """Return a file as it was noted; None for what is none of this job."""
    try:
        noted = parse_json(raw)
        path, size, kind = noted["path"], noted["size"], str(noted["type"])
    except (ValueError, TypeError, KeyError):
        return None
    folder = f"{FOLDER}/{id}/"
    is_own = isinstance(path, str) and path.startswith(folder) and "/" not in path[len(folder) :]
    is_file = isinstance(size, int) and 0 <= size <= MAX_AMOUNT and not _unfit_name(name)
    return Attachment(name, path, size, kind) if is_own and is_file else None


@contextmanager
def _open_content(content: Any) -> Iterator[tuple[BinaryIO, int]]:
    """Open bytes, or the file of a path; give its size as well."""
    if isinstance(content, bytes):
        yield io.BytesIO(content), len(content)
        return
    if not isinstance(content, (str, os.PathLike)):
        raise InvalidJob(f"A file is bytes or a path, not {type(content).__name__}.")
    with _open_regular(Path(content)) as file:
        yield file, os.fstat(file.fileno()).st_size


def _django_file(raw: BinaryIO) -> Any:
    from django.core.files import File

    return File(raw)


def _open_regular(path: Path) -> BinaryIO:
    """Open a file; what is none would be a directory, or never come to an end."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise InvalidJob(f"{str(path)!r} is no regular file.")
        return path.open("rb")
    except (OSError, ValueError) as error:
        raise InvalidJob(f"The file {str(path)!r} cannot be read: {error}.") from error


def _checked_filename(name: object) -> str:
    text = escape_surrogates(str(name)) if isinstance(name, str) else ""
    if reason := _unfit_name(text):
        raise InvalidJob(
            f"{name!r} is no name for a file, {reason}: give up to {NAME_LIMIT} bytes of UTF-8, "
            "not blank, and without slashes."
        )
    return text


def _unfit_name(name: str) -> str | None:
    """Return why a text cannot be the name of a file; None when it can."""
    if not name.strip():
        return "it is blank"
    if set(name) & set("/\\") or name in (".", ".."):
        return "it leads to another directory"
    if len(name.encode(errors="replace")) > NAME_LIMIT:
        return "it is too long"
    return unfit_character(name)
