"""Bring a file from an engine to the site through Redis, where they share no directory.

The engine asks, and sends as many pieces as the receiver has asked for, so that few of them are in
Redis at a time, however large the file is. All that it sends is signed with a key of the site.
"""

import hmac
import json
import time
import uuid
from typing import Any, BinaryIO

from moi_django.exceptions import InvalidJob, MoiError
from moi_django.store import Store
from moi_django.validation import parse_json

# Bytes of a piece, and how many of them are in Redis at most, of one file.
PIECE, WINDOW = 1 << 18, 8
# Seconds for which somebody is waited for who takes a file, and then for each answer.
TAKEN_WITHIN, ANSWERED_WITHIN = 30.0, 20.0
# Seconds for which one command waits, and after which Redis forgets what nobody takes.
WAIT, LIFETIME = 1.0, 120
_SIGNATURE = 32
NOBODY = (
    "The file {name!r} could not be brought to the site: its engine does not share the directory "
    "of the site's files, and no `manage.py moi reconcile` that does has taken it within "
    f"{TAKEN_WITHIN:.0f} s."
)


def sign(key: bytes, data: bytes, about: str = "") -> bytes:
    """Return data with its signature before it; `about` is signed, too."""
    return _signature(key, data, about) + data


def verify(keys: tuple[bytes, ...], signed: bytes, about: str = "") -> bytes:
    """Return signed data. Raises ValueError when it was signed with none of the keys."""
    signature, data = signed[:_SIGNATURE], signed[_SIGNATURE:]
    for key in keys:
        if hmac.compare_digest(signature, _signature(key, data, about)):
            return data
    raise ValueError("it is not signed by the site")


def _signature(key: bytes, data: bytes, about: str) -> bytes:
    return hmac.digest(key, about.encode() + b"\0" + data, "sha256")


def piece_label(way: str, number: int) -> str:
    """Return what is signed with a piece: which one of which file it is."""
    return f"{way}:{number}"


class Sender:
    """Sends one file of a job."""

    def __init__(self, store: Store, key: bytes, storage_id: str) -> None:
        self._store, self._key, self._redis = store, key, store.connection.redis
        self._way = uuid.uuid4().hex
        self._inbox = store.keys.files_on_way(storage_id)
        self._pieces = store.keys.files_on_way(self._way)
        self._answers = store.keys.files_on_way(f"{self._way}:answers")

    def send(self, id: str, name: str, file: BinaryIO, size: int) -> dict[str, Any]:
        """Send a file, and return how it was kept, as it is noted.

        Raises InvalidJob when the site does not keep such a file, MoiError when it did not get it.
        """
        asked = {"way": self._way, "job": id, "name": name, "size": size}
        header = sign(self._key, json.dumps(asked).encode())
        try:
            self._push(self._inbox, header)
            return self._answer_all(name, file, size)
        finally:
            with self._store.connection.translated_errors():
                self._redis.lrem(self._inbox, 1, header)  # type: ignore[arg-type]
                self._redis.delete(self._pieces, self._answers)

    def _answer_all(self, name: str, file: BinaryIO, size: int) -> dict[str, Any]:
        answer, sent, number = self._next_answer(TAKEN_WITHIN), 0, 0
        while answer is not None:
            if "kept" in answer:
                kept: dict[str, Any] = answer["kept"]
                return kept
            if "error" in answer:
                raise (InvalidJob if answer["is_refused"] else MoiError)(answer["error"])
            for _ in range(answer["take"]):
                if sent == size:
                    break
                piece = file.read(min(PIECE, size - sent))
                if not piece:
                    raise InvalidJob(f"The file {name!r} has become shorter while it was read.")
                self._push(self._pieces, sign(self._key, piece, piece_label(self._way, number)))
                sent, number = sent + len(piece), number + 1
            answer = self._next_answer(ANSWERED_WITHIN)
        if not sent:
            raise MoiError(NOBODY.format(name=name))
        raise MoiError(
            f"The file {name!r} could not be brought to the site: the `manage.py moi reconcile` "
            f"that took it has said nothing for {ANSWERED_WITHIN:.0f} s."
        )

    def _push(self, key: str, data: bytes) -> None:
        with self._store.connection.translated_errors():
            pipeline = self._redis.pipeline()
            pipeline.rpush(key, data)
            pipeline.expire(key, LIFETIME)
            pipeline.execute()

    def _next_answer(self, seconds: float) -> dict[str, Any] | None:
        popped = pop(self._store, self._answers, seconds)
        answer: dict[str, Any] | None = None if popped is None else parse_json(popped)
        return answer


def pop(store: Store, key: str, seconds: float) -> bytes | None:
    """Take the first of a list; None when it stays empty for so long."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        with store.connection.translated_errors():
            found: Any = store.connection.redis.blpop([key], timeout=min(left, WAIT))
        if found:
            data: bytes = found[1]
            return data
    return None
