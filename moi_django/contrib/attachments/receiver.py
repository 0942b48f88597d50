"""Take files that engines send through Redis, and keep them where the site has its files."""

import json
import logging
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from moi_django.contrib.attachments.delivery import (
    ANSWERED_WITHIN,
    LIFETIME,
    PIECE,
    WAIT,
    WINDOW,
    piece_label,
    pop,
    verify,
)
from moi_django.contrib.attachments.site_storage import file_keys, get_attachment_storage
from moi_django.contrib.attachments.storage import AttachmentStorage
from moi_django.exceptions import InvalidJob, MoiError, StoreUnavailable
from moi_django.models import State
from moi_django.site_store import get_store
from moi_django.store import Store
from moi_django.validation import is_uuid, parse_json

logger = logging.getLogger(__name__)

# How many files one process takes at once.
AT_ONCE = 4


class FileReceiver:
    """Takes files in threads of its own, until it is stopped."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._free = threading.BoundedSemaphore(AT_ONCE)
        self._thread = threading.Thread(target=self._run, daemon=True, name="moi-files")

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, once what has been taken is kept."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="moi-file") as pool:
            while not self._stop.is_set():
                try:
                    self._take_next(pool)
                except StoreUnavailable as error:
                    logger.warning("Files of engines are waited for: %s", error)
                    self._stop.wait(WAIT)
                except Exception:
                    logger.exception("Files of engines cannot be taken")
                    self._stop.wait(WAIT)

    def _take_next(self, pool: ThreadPoolExecutor) -> None:
        storage = get_attachment_storage()
        if not storage.site_id:
            self._stop.wait(WAIT)
            return
        if not self._free.acquire(timeout=WAIT):
            return
        header = None
        try:
            store = get_store()
            header = pop(store, store.keys.files_on_way(storage.site_id), WAIT)
        finally:
            if header is None:
                self._free.release()
        if header is not None:
            pool.submit(self._receive, Way(store, storage), header)

    def _receive(self, way: "Way", header: bytes) -> None:
        try:
            way.receive(header)
        except Exception:
            logger.exception("A file of an engine is lost; its job is told so")
        finally:
            self._free.release()


class Way:
    """One file on its way."""

    def __init__(self, store: Store, storage: AttachmentStorage) -> None:
        self._store, self._storage, self._keys = store, storage, file_keys()

    def receive(self, header: bytes) -> None:
        """Take a file that was announced, and say what became of it."""
        try:
            asked = _read_header(self._keys, header)
        except (ValueError, KeyError, TypeError) as error:
            logger.warning("A file that somebody announced is refused: %s", error)
            return
        self._answers = self._store.keys.files_on_way(f"{asked['way']}:answers")
        try:
            self._check(asked)
            with self._take(asked) as path:
                kept = self._storage.save(self._store, asked["job"], asked["name"], path)
            self._answer(kept=asdict(kept))
        except MoiError as error:
            self._answer(error=str(error), is_refused=isinstance(error, InvalidJob))
        except Exception as error:
            text = f"The file {asked['name']!r} could not be kept by the site: {error!r}."
            self._answer(error=text, is_refused=False)
            raise

    def _check(self, asked: dict[str, Any]) -> None:
        """Raise InvalidJob for what would not be kept in the end."""
        info = self._store.jobs.get(asked["job"])
        if info is None or info.state is not State.RUNNING:
            raise InvalidJob(f"The file {asked['name']!r} is of a job that does not run.")
        self._storage.check_size(asked["name"], asked["size"])

    @contextmanager
    def _take(self, asked: dict[str, Any]) -> Iterator[Path]:
        """Take all pieces into a file that is there until the block ends."""
        pieces, left, number = self._store.keys.files_on_way(asked["way"]), asked["size"], 0
        with tempfile.NamedTemporaryFile(prefix="moi-file-") as file:
            self._answer(take=WINDOW)
            while left:
                signed = pop(self._store, pieces, ANSWERED_WITHIN)
                if signed is None:
                    raise MoiError(f"The engine stopped to send the file {asked['name']!r}.")
                piece = _read_piece(self._keys, signed, piece_label(asked["way"], number))
                if not piece or len(piece) > left:
                    raise MoiError(f"The file {asked['name']!r} has another size than was said.")
                file.write(piece)
                left, number = left - len(piece), number + 1
                if left > WINDOW * PIECE - PIECE:
                    self._answer(take=1)
            file.flush()
            yield Path(file.name)

    def _answer(self, **fields: Any) -> None:
        with self._store.connection.translated_errors():
            pipeline = self._store.connection.redis.pipeline()
            pipeline.rpush(self._answers, json.dumps(fields))
            pipeline.expire(self._answers, LIFETIME)
            pipeline.execute()


def _read_header(keys: tuple[bytes, ...], header: bytes) -> dict[str, Any]:
    asked: dict[str, Any] = parse_json(verify(keys, header))
    if not (is_uuid(asked["job"]) and asked["way"].isalnum() and isinstance(asked["name"], str)):
        raise ValueError("it is of no job")
    if not isinstance(asked["size"], int) or asked["size"] < 0:
        raise ValueError("it has no size")
    return asked


def _read_piece(keys: tuple[bytes, ...], signed: bytes, label: str) -> bytes:
    try:
        return verify(keys, signed, label)
    except ValueError as error:
        raise MoiError(f"A piece of a file is refused: {error}.") from error
