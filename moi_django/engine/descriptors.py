"""Catch what is written to the descriptors of stdout and stderr, by whatever program has them.

Each job has pipes of its own, so that what it leaves running never speaks in the job of another.
Such a program can print for as long as this process lives; where that goes is where stdout and
stderr of this process lead outside of jobs.
"""

import codecs
import ctypes
import fcntl
import logging
import os
import select
import selectors
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache, partial

logger = logging.getLogger(__name__)

# Takes the name of a stream and a text; called from any thread.
Write = Callable[[str, str], object]

STDOUT, STDERR = "stdout", "stderr"
DESCRIPTORS = {STDOUT: 1, STDERR: 2}
# Bytes that a pipe should hold. C code that writes more while it keeps Python's interpreter for
# itself would wait for ever, as nobody can read meanwhile.
ROOM = 1 << 20


@contextmanager
def diverted(write: Write) -> Iterator["Diversion"]:
    """Hand what is written to stdout and stderr in the block to `write`."""
    _flush()
    diversion = Diversion(write)
    try:
        yield diversion
    finally:
        _flush()
        diversion.end()


class Diversion:
    """The two pipes of one job, which are read until nobody can write there."""

    def __init__(self, write: Write) -> None:
        self._write, self._process = write, os.getpid()
        # Reentrant, because a signal can be handled while this thread holds it.
        self._lock = threading.RLock()
        self._pipes = [_Pipe(name, number, write) for name, number in DESCRIPTORS.items()]
        self._glance, self._selector = select.poll(), _selector(self._process)
        # Those that somebody can write to, by where they are read.
        self._open = {pipe.exit: pipe for pipe in self._pipes}
        for exit in self._open:
            self._glance.register(exit, select.POLLIN)
            self._selector.register(exit, selectors.EVENT_READ, partial(self._read, exit))

    def say(self, stream: str, text: str) -> None:
        """Hand on a text after all that was written before it.

        A process that the job has forked has neither the thread nor the connection that would take
        it, so there it goes through the pipe.
        """
        if os.getpid() != self._process:
            _write_all(DESCRIPTORS.get(stream, DESCRIPTORS[STDERR]), text.encode())
            return
        with self._lock:
            self._catch_up()
            self._write(stream, text)

    def own(self, descriptor: int) -> int:
        """Return where a descriptor leads outside of the job."""
        return next(pipe.own for pipe in self._pipes if pipe.descriptor == descriptor)

    def end(self) -> None:
        """Hand on the last of what was written, and nothing that comes later."""
        with self._lock:
            for pipe in self._pipes:
                os.dup2(pipe.own, pipe.descriptor)
            self._catch_up()
            for pipe in self._pipes:
                pipe.release()

    def _catch_up(self) -> None:
        for exit, _ in self._glance.poll(0):
            self._open[exit].read()

    def _read(self, exit: int) -> None:
        with self._lock:
            if not self._open[exit].read():
                self._selector.unregister(exit)
                self._glance.unregister(exit)
                self._open.pop(exit).close()


@lru_cache(maxsize=1)
def _selector(process: int) -> selectors.BaseSelector:
    """Return what a thread of this process watches: to start one takes longer than a small job."""
    selector = selectors.DefaultSelector()
    threading.Thread(target=_watch, args=[selector], daemon=True, name="moi-output").start()
    return selector


def _watch(selector: selectors.BaseSelector) -> None:
    """Do what belongs to whatever can be read."""
    while True:
        for key, _ in selector.select():
            try:
                key.data()
            except Exception:
                logger.exception("Cannot read what a job prints")


class _Pipe:
    """What a descriptor leads to instead."""

    def __init__(self, name: str, descriptor: int, write: Write) -> None:
        self._name, self.descriptor = name, descriptor
        # None once the job has ended.
        self._write: Write | None = write
        self._is_over = False
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.own = _copy(descriptor)
        self.exit, entrance = os.pipe()
        os.set_blocking(self.exit, False)
        if hasattr(fcntl, "F_SETPIPE_SZ"):
            with suppress(OSError):  # a user may have so much in all pipes
                fcntl.fcntl(entrance, fcntl.F_SETPIPE_SZ, ROOM)
        os.dup2(entrance, descriptor)
        os.close(entrance)

    def read(self) -> bool:
        """Hand on all that is there; return False when nobody can write any more."""
        try:
            data = os.read(self.exit, ROOM)
        except BlockingIOError:
            return True  # another thread has read it
        if self._write is None:
            with suppress(OSError):  # who reads the output of this process may be gone
                _write_all(self.own, data)
        elif text := self._decoder.decode(data):
            self._write(self._name, text)
        return bool(data)

    def release(self) -> None:
        """Hand what comes from now on to where the descriptor leads."""
        if self._write and (text := self._decoder.decode(b"", True)):
            self._write(self._name, text)
        self._write = None
        self._close_both()

    def close(self) -> None:
        """Read no more."""
        self._is_over = True
        self._close_both()

    def _close_both(self) -> None:
        # A job may have closed its stdout, and it is put back from `own` at the end.
        if self._is_over and self._write is None:
            os.close(self.exit)
            os.close(self.own)


def _copy(descriptor: int) -> int:
    """Return a copy of a descriptor; one that is closed leads nowhere first."""
    try:
        return os.dup(descriptor)
    except OSError:
        nowhere = os.open(os.devnull, os.O_RDWR)
        if nowhere != descriptor:
            os.dup2(nowhere, descriptor)
            os.close(nowhere)
        return os.dup(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _flush() -> None:
    """Let what Python and C keep of stdout and stderr go where it was written to."""
    for stream in (sys.__stdout__, sys.__stderr__):
        with suppress(OSError, ValueError):  # it is closed
            if stream is not None:
                stream.flush()
    ctypes.CDLL(None).fflush(None)
