"""Catch what a job prints and logs on its engine."""

import io
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any

from moi_django.models import clean

# Takes the name of a stream and a text; called from any thread.
Write = Callable[[str, str], object]

STDOUT, STDERR, LOG = "stdout", "stderr", "log"
FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
# What these say is about the engine and not about the job.
_NOT_OF_THE_JOB = ("moi_django", "IPEngine", "ipyparallel", "ipykernel", "tornado", "traitlets")


@contextmanager
def captured(write: Write) -> Iterator[None]:
    """Hand what is printed and logged in the block to `write`, by whatever thread.

    What a program prints that the job has started does not pass through here.
    """
    stdout, stderr = Stream(STDOUT, write, sys.stdout), Stream(STDERR, write, sys.stderr)
    with redirect_stdout(stdout), redirect_stderr(stderr), _logged(write):
        yield


class Stream(io.TextIOBase):
    """A text stream that hands on what is written to it."""

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, name: str, write: Write, original: Any) -> None:
        super().__init__()
        self.name, self._write, self._original = name, write, original
        self.buffer = _Bytes(self)

    def write(self, text: str) -> int:
        """Hand some text on."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if text:
            self._write(self.name, clean(text))
        return len(text)

    def writable(self) -> bool:
        """Tell that this can be written to."""
        return True

    def fileno(self) -> int:
        """Return the file that programs started by the job may write to."""
        return self._original.fileno()


class _Bytes(io.RawIOBase):
    """The bytes below a text stream, for those who write them."""

    def __init__(self, stream: Stream) -> None:
        super().__init__()
        self._stream = stream

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._stream.write(bytes(data).decode(errors="replace"))
        return len(data)


class _Handler(logging.Handler):
    """Hands on what is logged."""

    def __init__(self, write: Write) -> None:
        super().__init__()
        self._write = write
        self.setFormatter(logging.Formatter(FORMAT))

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.split(".")[0] in _NOT_OF_THE_JOB:
            return
        try:
            self._write(LOG, clean(self.format(record)) + "\n")
        except Exception:
            self.handleError(record)


@contextmanager
def _logged(write: Write) -> Iterator[None]:
    """Hand on what is logged; from INFO on, where nobody has set up logging."""
    root, handler = logging.getLogger(), _Handler(write)
    level = root.level
    if not root.handlers and level in (logging.NOTSET, logging.WARNING):
        root.setLevel(logging.INFO)
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
