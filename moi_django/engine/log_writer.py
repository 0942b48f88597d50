"""Write what a job prints and what else it says to Redis, a few times a second, from a thread."""

import logging
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from moi_django.exceptions import MoiError
from moi_django.store.logs import MAX_UNFINISHED, JobLog, OutputPiece, cut_position

logger = logging.getLogger(__name__)

# Seconds between two writes.
WRITE_INTERVAL = 0.2
# Seconds for which the end of a job waits for its output to be written.
CLOSE_TIMEOUT = 5.0

Write = Callable[[], object]


class LogWriter:
    """What one run of a job says of itself; the thread begins with the first word."""

    def __init__(self, log: JobLog, limit: int, heading: str = "", extra: Any = None) -> None:
        self._log, self._limit, self._extra = log, limit, extra
        self._lock, self._latest_lock = threading.Lock(), threading.Lock()
        self._pieces: deque[OutputPiece] = deque()
        # What goes before the first words.
        self._heading = heading
        # Bytes in the pieces, and those dropped because Redis was too slow or away.
        self._pending_bytes = self._dropped_bytes = 0
        # What writes the latest of each kind, and the last of these that have done so.
        self._latest, self._written = dict[str, Write](), dict[str, Write]()
        self._has_more, self._closed = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def note_output(self, stream: str, text: str) -> None:
        """Note some output."""
        with self._lock:
            if self._heading:
                self._add_piece(OutputPiece("log", self._heading))
                self._heading = ""
            self._add_piece(OutputPiece(stream, text))
            self._drop_oldest()
        self._start_thread()

    def _add_piece(self, piece: OutputPiece) -> None:
        self._pieces.append(piece)
        self._pending_bytes += len(piece.text.encode())

    def _drop_oldest(self) -> None:
        while self._pending_bytes > self._limit and len(self._pieces) > 1:
            dropped = len(self._pieces.popleft().text.encode())
            self._pending_bytes -= dropped
            self._dropped_bytes += dropped

    def note_latest(self, kind: str, write: Callable[..., object], *what: object) -> None:
        """Note what to write, and how; of each kind only the latest counts."""
        self._latest[kind] = partial(write, *what)
        self._start_thread()

    def write_latest(self, kind: str) -> None:
        """Write the latest of a kind unless that is done. Raises what that raises."""
        with self._latest_lock:
            if (write := self._latest.get(kind)) and write is not self._written.get(kind):
                write()
                self._written[kind] = write

    def close(self) -> None:
        """Write what is left, and note nothing any more."""
        self._closed.set()
        self._has_more.set()
        if self._thread is not None:
            self._thread.join(CLOSE_TIMEOUT)

    def _start_thread(self) -> None:
        self._has_more.set()
        if self._thread is None:
            with self._lock:
                if self._thread is None and not self._closed.is_set():
                    thread = threading.Thread(
                        target=self._write_until_closed, daemon=True, name="moi-log-writer"
                    )
                    thread.start()
                    self._thread = thread

    def _write_until_closed(self) -> None:
        while not self._closed.is_set():
            self._has_more.wait()
            self._has_more.clear()
            self._write_all()
            self._closed.wait(WRITE_INTERVAL)
        self._write_all()

    def _write_all(self) -> None:
        latest: list[Write] = [partial(self.write_latest, kind) for kind in list(self._latest)]
        # Each by itself: when one cannot be written, the others may be.
        for write in [*latest, self._write_output]:
            try:
                write()
            except MoiError as error:
                # It is tried again soon; the job itself is worth more.
                logger.warning("Cannot write what a job says: %s", error, extra=self._extra)
                self._has_more.set()
            except Exception:
                logger.exception("Cannot write what a job says", extra=self._extra)

    def _write_output(self) -> None:
        with self._lock:
            pieces, self._pieces = self._pieces, deque()
            dropped, self._dropped_bytes, self._pending_bytes = self._dropped_bytes, 0, 0
            if not self._closed.is_set():
                self._hold_unfinished(pieces)
        if not pieces:
            return
        try:
            self._log.append(pieces, self._limit, dropped)
        except MoiError:
            with self._lock:
                self._pieces.extendleft(reversed(pieces))
                self._dropped_bytes += dropped
                self._pending_bytes += sum(len(piece.text.encode()) for piece in pieces)
                # More may have come meanwhile.
                self._drop_oldest()
            raise

    def _hold_unfinished(self, pieces: deque[OutputPiece]) -> None:
        """Keep for later what pieces end with when its other half is still to come."""
        tail, count = "", 0
        for stream, text in reversed(pieces):
            if stream != pieces[-1].stream or len(tail) >= MAX_UNFINISHED:
                break
            tail, count = text + tail, count + 1
        whole = cut_position(tail, -1, len(tail))
        if whole == len(tail):
            return
        stream = pieces[-1].stream
        for _ in range(count):
            pieces.pop()
        if whole:
            pieces.append(OutputPiece(stream, tail[:whole]))
        self._add_piece(OutputPiece(stream, tail[whole:]))
