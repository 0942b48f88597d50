"""Catch what a job prints and logs on its engine."""

import codecs
import io
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import wraps
from typing import Any

from moi_django.engine.descriptors import DESCRIPTORS, STDERR, STDOUT, Diversion, Write, diverted
from moi_django.validation import escape_surrogates

LOG = "log"
FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
# What these say is about the engine and not about the job.
_ENGINE_LOGGERS = ("moi_django", "IPEngine", "ipyparallel", "ipykernel", "tornado", "traitlets")


@contextmanager
def capture_output(write: Write) -> Iterator[None]:
    """Hand what is printed and logged in the block to `write`, by whatever thread or program."""
    with diverted(write) as diversion:
        stdout, stderr = Stream(STDOUT, diversion.say), Stream(STDERR, diversion.say)
        try:
            with (
                _engine_log_kept(diversion),
                redirect_stdout(stdout),
                redirect_stderr(stderr),
                _log_captured(diversion.say),
            ):
                yield
        finally:
            stdout.buffer.flush_decoder()
            stderr.buffer.flush_decoder()


class Stream(io.TextIOBase):
    """A text stream that hands on what is written to it."""

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, name: str, write: Write) -> None:
        super().__init__()
        self.name, self._write = name, write
        self.buffer = _Bytes(self)

    def write(self, text: str) -> int:
        """Hand some text on."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if text:
            self._write(self.name, escape_surrogates(text))
        return len(text)

    def writable(self) -> bool:
        """Tell that this can be written to."""
        return True

    def reconfigure(self, **options: Any) -> None:
        """Change nothing: what scripts ask for, another encoding or buffering, is moot here."""

    def fileno(self) -> int:
        """Return the descriptor that leads to the output of the job as well."""
        return DESCRIPTORS[self.name]


class _Bytes(io.RawIOBase):
    """The bytes below a text stream, for those who write them."""

    def __init__(self, stream: Stream) -> None:
        super().__init__()
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._stream.write(self._decoder.decode(bytes(data)))
        return len(data)

    def flush_decoder(self) -> None:
        """Hand on what is left of a character that never became whole."""
        self._stream.write(self._decoder.decode(b"", True))


class _Handler(logging.Handler):
    """Hands on what is logged, unless the job has said how that is to be printed."""

    def __init__(self, write: Write) -> None:
        super().__init__()
        self._write = write
        self.setFormatter(logging.Formatter(FORMAT))

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.split(".")[0] in _ENGINE_LOGGERS or _is_printed_by_job():
            return
        try:
            self._write(LOG, escape_surrogates(self.format(record)) + "\n")
        except Exception:
            self.handleError(record)


def _is_printed_by_job() -> bool:
    """Tell whether what reaches the root logger is printed by the job already."""
    return any(
        isinstance(getattr(each, "stream", None), Stream) for each in logging.getLogger().handlers
    )


@contextmanager
def _log_captured(write: Write) -> Iterator[None]:
    """Hand on what is logged; from INFO on, where nobody has set up logging."""
    handler = _Handler(write)
    with _root_kept() as root, _basic_config_without(handler):
        if not root.handlers and root.level in (logging.NOTSET, logging.WARNING):
            root.setLevel(logging.INFO)
        root.addHandler(handler)
        yield


@contextmanager
def _root_kept() -> Iterator[logging.Logger]:
    """Leave the root logger as it was before the block, whatever the block does to it."""
    root = logging.getLogger()
    level, handlers, filters = root.level, root.handlers[:], root.filters[:]
    disabled, silenced = root.disabled, root.manager.disable
    try:
        yield root
    finally:
        for handler in root.handlers:
            if handler not in handlers:
                handler.close()
        root.handlers[:], root.filters[:], root.disabled = handlers, filters, disabled
        root.setLevel(level)
        logging.disable(silenced)


@contextmanager
def _basic_config_without(handler: logging.Handler) -> Iterator[None]:
    """Let `logging.basicConfig` in the block do what it does where that handler is not."""
    original, root = logging.basicConfig, logging.getLogger()

    @wraps(original)
    def basic_config(**options: Any) -> None:
        root.removeHandler(handler)
        try:
            original(**options)
        finally:
            root.addHandler(handler)

    logging.basicConfig = basic_config
    try:
        yield
    finally:
        logging.basicConfig = original


@contextmanager
def _engine_log_kept(diversion: Diversion) -> Iterator[None]:
    """Let what the engine logs go on to where its descriptors lead outside of the job."""
    moved = [
        (handler, handler.setStream(os.fdopen(diversion.own(number), "w", closefd=False)))
        for handler, number in _engine_handlers()
    ]
    try:
        yield
    finally:
        for handler, stream in moved:
            handler.setStream(stream)


def _engine_handlers() -> Iterator[tuple[Any, int]]:
    """Yield the handlers that write to a descriptor of stdout or stderr, and to which."""
    for logger in map(logging.getLogger, (None, *_ENGINE_LOGGERS)):
        for handler in logger.handlers:
            if isinstance(handler, logging.StreamHandler):
                try:
                    number = handler.stream.fileno()
                except (AttributeError, OSError, ValueError):
                    continue
                if number in DESCRIPTORS.values():
                    yield handler, number
