"""Where a job prints and logs: the pipes of its process, in the order in which it does so."""

import ctypes
import fcntl
import io
import logging
import struct
import sys
import termios
import time
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import Any

from moi_django.validation import escape_surrogates

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
# Seconds for which what goes one way waits until what went another way before is read.
MAX_ORDER_WAIT = 0.02
_C = ctypes.CDLL(None)


class _OutputOrder:
    """Keeps the order of what goes to several pipes: before another is used, the last is empty."""

    def __init__(self) -> None:
        self._last: tuple[int, int] | None = None

    def switch_to(self, descriptor: int, request: int = termios.FIONREAD) -> None:
        """Wait until what went elsewhere is read; `request` asks for how much is not, here."""
        last, self._last = self._last, (descriptor, request)
        if last is None or last == self._last:
            return
        deadline = time.monotonic() + MAX_ORDER_WAIT
        while unread_bytes(*last) and time.monotonic() < deadline:
            time.sleep(0.00002)


def unread_bytes(descriptor: int, request: int = termios.FIONREAD) -> int:
    """Return how many bytes wait in a pipe, or as `request` asks for it in a socket."""
    try:
        return struct.unpack("i", fcntl.ioctl(descriptor, request, b"\0" * 4))[0]
    except OSError:
        return 0  # the job has closed it


order = _OutputOrder()


class _Unbuffered(io.BufferedWriter):
    """Keeps nothing back, and loses nothing when a signal interrupts it."""

    def write(self, data: Any, /) -> int:
        order.switch_to(self.fileno())
        count = super().write(data)
        self.flush()
        return count


def open_streams() -> None:
    """Make stdout and stderr such that what keeps them from now on speaks in the job it runs in.

    What C prints comes line by line.
    """
    sys.stdout = sys.__stdout__ = _open_stream(1, "<stdout>")  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _open_stream(2, "<stderr>")  # type: ignore[misc]
    with suppress(ValueError):  # it has another name than in Linux
        _C.setvbuf(ctypes.c_void_p.in_dll(_C, "stdout"), None, 1, 0)


def _open_stream(descriptor: int, name: str) -> io.TextIOWrapper:
    raw = io.FileIO(descriptor, "w", closefd=False)
    raw.name = name
    return io.TextIOWrapper(_Unbuffered(raw), "utf-8", "backslashreplace", write_through=True)


def flush_streams() -> None:
    """Let what Python and C keep of what was printed go where it was written to."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # it is closed, or the job's own
            stream.flush()
    _C.fflush(None)


class JobLogHandler(logging.Handler):
    """Hands on what is logged, unless the job has said how that is to be printed."""

    def __init__(self, write: Callable[[str], object]) -> None:
        super().__init__()
        self._write = write
        self.setFormatter(logging.Formatter(FORMAT))

    def emit(self, record: logging.LogRecord) -> None:
        if self._is_printed():
            return
        try:
            self._write(escape_surrogates(self.format(record)) + "\n")
        except Exception:
            self.handleError(record)

    def _is_printed(self) -> bool:
        """Tell whether what reaches the root logger is printed already."""
        printed, handlers = self._streams(), logging.getLogger().handlers
        return any(getattr(each, "stream", None) in printed for each in handlers)

    def _streams(self) -> tuple[Any, ...]:
        return sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__


def follow_logging(handler: JobLogHandler) -> None:
    """Hand on what is logged; from INFO on, where nobody has set up logging."""
    root = logging.getLogger()
    if not root.handlers and root.level in (logging.NOTSET, logging.WARNING):
        root.setLevel(logging.INFO)
    root.addHandler(handler)
    original = logging.basicConfig

    @wraps(original)
    def basic_config(**options: Any) -> None:
        """Do what it does where our handler is not."""
        root.removeHandler(handler)
        try:
            original(**options)
        finally:
            root.addHandler(handler)

    logging.basicConfig = basic_config
