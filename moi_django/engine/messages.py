"""What a job process and its supervisor say to each other: frames on a stream socket.

A frame is the lengths of its two parts, `[kind, fields]` as JSON, and bytes. What a job process
says is checked like anything from outside.
"""

import errno
import itertools
import json
import os
import struct
import threading
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from math import isfinite
from typing import Any, NamedTuple, Self

from moi_django.exceptions import MoiError
from moi_django.validation import is_id, parse_json

# Bound before a job can replace them.
_encode = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode
_getpid, _fstat, _read, _write = os.getpid, os.fstat, os.read, os.write

_LENGTHS = struct.Struct(">II")
# Bytes that are read at once, at most.
READ_SIZE = 1 << 16
# Characters of a text of the job, and bytes beside one, that one message carries at most.
MAX_TEXT, MAX_DATA = 16_000, 1 << 20

_TEXT, _NUMBER = (str,), (float,)
# Kind of a message from a job process -> its fields -> their types.
_FIELDS: Mapping[str, Mapping[str, tuple[type, ...]]] = {
    "status": {"text": _TEXT},
    "progress": {"progress": (float, type(None)), "done": _NUMBER, "total": (float, type(None))},
    "log": {"text": _TEXT},
    "attach": {"number": (int,), "name": _TEXT, "is_path": (bool,)},
    "checkpoint": {},
    "wait_for": {"id": _TEXT},
    "wait_over": {"id": _TEXT},
    "outcome": {
        "success": (bool,),
        "result": (object,),
        "display": (dict,),
        "exception": (str, type(None)),
        "cpu_seconds": _NUMBER,
        "peak_memory": (int,),
        "lingers": (bool,),
    },
}


class BadMessage(MoiError):
    """Say that a job process sent what is no message, or one that is too long."""


class Message(NamedTuple):
    """One message."""

    kind: str
    fields: dict[str, Any]
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a job process has to know to run an attempt at a job."""

    id: str
    name: str
    attempt: int
    context: str | None
    parent: str | None
    # The pickled (function, args, kwargs), and the version of the Python that pickled it.
    payload: bytes
    python: str
    # Maximum lengths: in bytes of JSON, in characters, in bytes of all forms.
    result_limit: int
    status_limit: int
    display_limit: int
    # Keep the process for another task after this one.
    reuse: bool = False
    # What an earlier attempt has kept last, as JSON.
    checkpoint: str | None = None
    # Results of other jobs that are arguments, by the ids that stand for them.
    inputs: dict[str, Any] = field(default_factory=dict)
    # As that of `Payload`.
    around: dict[str, Any] = field(default_factory=dict)
    # Its info object as JSON, of a job that runs a task of Django's.
    info: str | None = None
    # Those of who has submitted it.
    language: str | None = None
    time_zone: str | None = None
    request_id: str | None = None

    @property
    def max_length(self) -> int:
        """Bytes of JSON of the longest message that a job process may send about it."""
        # A character takes up to 12 bytes.
        return self.result_limit + 12 * (self.display_limit + 2 * MAX_TEXT)

    def encode(self) -> bytes:
        """Return the task as a frame."""
        names = [each.name for each in fields(self) if each.name != "payload"]
        return encode("task", self.payload, **{name: getattr(self, name) for name in names})

    @classmethod
    def from_message(cls, message: Message) -> Self:
        """Read what the supervisor sent."""
        return cls(payload=message.data, **message.fields)


def encode(kind: str, data: bytes = b"", /, **fields: Any) -> bytes:
    """Return a message as a frame."""
    head = _encode([kind, fields]).encode()
    return _LENGTHS.pack(len(head), len(data)) + head + data


def pop_message(
    buffer: bytearray, max_length: int = 1 << 32, max_data: int = 1 << 32
) -> Message | None:
    """Take the first message off a buffer; return None while it is not complete.

    Raises BadMessage when it is longer than allowed or no JSON.
    """
    if len(buffer) < _LENGTHS.size:
        return None
    length, data_length = _LENGTHS.unpack_from(buffer)
    if length > max_length or data_length > max_data:
        raise BadMessage(f"a message of {length:,} and {data_length:,} bytes is too long")
    middle = _LENGTHS.size + length
    end = middle + data_length
    if len(buffer) < end:
        return None
    head, data = bytes(buffer[_LENGTHS.size : middle]), bytes(buffer[middle:end])
    del buffer[:end]
    try:
        kind, given = parse_json(head)
    except (TypeError, ValueError) as error:
        raise BadMessage(f"a message cannot be read: {error}") from error
    return Message(kind, given, data)


def pop_checked(buffer: bytearray, task: Task) -> Message | None:
    """Take the first message of the job process that has a task off a buffer.

    Raises BadMessage when it is not as it has to be.
    """
    message = pop_message(buffer, task.max_length, MAX_DATA)
    if message is not None:
        _check_fields(message)
        if message.kind == "outcome":
            _check_outcome(message.fields, task)
        if "id" in message.fields and not is_id(message.fields["id"]):
            raise BadMessage("a job waits for what is no id")
    return message


def _check_fields(message: Message) -> None:
    kind, given, _ = message
    expected = _FIELDS.get(kind) if isinstance(kind, str) else None
    if expected is None or not isinstance(given, dict) or given.keys() != expected.keys():
        raise BadMessage(
            f"a message of the kind {str(kind)[:50]!r} has fields that are not its own"
        )
    for name, value in given.items():
        is_of_type = object in expected[name] or type(value) in expected[name]
        if not is_of_type or (isinstance(value, float) and not isfinite(value)):
            raise BadMessage(f"the field {name} of a message {kind} is {str(value)[:50]!r}")


def _check_outcome(given: dict[str, Any], task: Task) -> None:
    texts = [*given["display"], *given["display"].values()]
    if not all(isinstance(text, str) for text in texts):
        raise BadMessage("a result is shown as what is no text")
    if sum(map(len, given["display"].values())) > task.display_limit:
        raise BadMessage("a result is shown by more than the limit")
    if not (given["success"] or isinstance(given["result"], str)):
        raise BadMessage("a failure has no text")
    if not (given["cpu_seconds"] >= 0 and 0 <= given["peak_memory"] < 1 << 63):
        raise BadMessage("a job has used what nobody can use")


class Connection:
    """The job process's end of its socket to the supervisor.

    A signal handler may raise at any time, also while a frame is half written: the rest then goes
    before the next one. The number of bytes must not get lost between a system call and our
    variable, where Python looks for signals; so C code stores it (`extend` of a `map`).
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor, self._file, self._pid = descriptor, _identity(descriptor), _getpid()
        # Reentrant: a signal handler may send, too.
        self._lock, self._requests = threading.RLock(), threading.RLock()
        # Frames, and how many bytes of each were written by each call.
        self._unsent: list[tuple[bytes, list[int]]] = []
        self._buffer, self._numbers = bytearray(), itertools.count()
        # Requests that were sent and not answered yet, and whether there may be more.
        self._open, self._may_request = 0, True

    @property
    def is_own(self) -> bool:
        """False in a process that the job has forked, which must not speak as the job."""
        return _getpid() == self._pid

    def send(self, frame: bytes) -> None:
        """Write a frame; in a forked process do nothing.

        Raises OSError when the job has closed the socket.
        """
        if not self.is_own:
            return
        with self._lock:
            self._unsent.append((frame, []))
            while self._unsent:
                self._write_first()

    def _write_first(self) -> None:
        entry = frame, written = self._unsent[0]
        while (done := sum(written)) < len(frame):
            self._check_file()
            written.extend(map(_write, (self.descriptor,), (memoryview(frame)[done:],)))
        with suppress(ValueError):  # a signal handler was here
            self._unsent.remove(entry)

    def request(self, kind: str, data: bytes, /, **fields: Any) -> dict[str, Any]:
        """Send a message and return the fields of the answer to it."""
        with self._requests:
            if not self._may_request:
                raise MoiError("The job has ended.")
            number = next(self._numbers)
            self._open += 1
            self.send(encode(kind, data, number=number, **fields))
            # Others are answers to requests that a signal has interrupted.
            while (answer := self.receive()) and answer.fields["number"] != number:
                self._open -= 1
            self._open -= 1
        if answer is None:
            raise EOFError("the supervisor is gone")
        return answer.fields

    def begin_task(self) -> None:
        """Let requests be made again."""
        self._may_request = True

    def end_task(self) -> bool:
        """Let no more requests be made; tell whether all were answered.

        Else an answer may come in the place of the next task.
        """
        if not self._requests.acquire(blocking=False):
            return False
        try:
            self._may_request = False
            return self._open == 0
        finally:
            self._requests.release()

    def receive(self) -> Message | None:
        """Return the next message, or None when the supervisor has closed its end."""
        while (message := pop_message(self._buffer)) is None:
            self._check_file()
            before = len(self._buffer)
            deque(map(self._buffer.extend, map(_read, (self.descriptor,), (READ_SIZE,))), maxlen=0)
            if len(self._buffer) == before:
                return None
        return message

    def _check_file(self) -> None:
        """Raise OSError when the descriptor is closed, or is now that of a file of the job."""
        if _identity(self.descriptor) != self._file:
            raise OSError("the job has closed the socket to its supervisor")


def _identity(descriptor: int) -> tuple[int, int] | None:
    try:
        status = _fstat(descriptor)
    except OSError as error:
        if error.errno != errno.EBADF:
            raise  # a signal handler did
        return None
    return status.st_dev, status.st_ino
