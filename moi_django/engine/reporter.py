"""Write what a job prints and how far it is to Redis, a few times a second, from a thread."""

import logging
import threading
from collections import deque
from collections.abc import Callable

from moi_django.engine.current import Measure
from moi_django.exceptions import MoiError
from moi_django.store.logs import LONGEST, Log, Piece, whole_until

logger = logging.getLogger(__name__)

# Seconds between two writes.
EVERY = 0.2
# Seconds for which the end of a job waits for its output to be written.
PATIENCE = 5.0

WriteMeasure = Callable[[Measure], object]


class Reporter:
    """What one run of a job says of itself; the thread begins with the first word."""

    def __init__(
        self, log: Log, limit: int, write_measure: WriteMeasure, heading: str = ""
    ) -> None:
        self._log, self._limit, self._write_measure = log, limit, write_measure
        self._lock = threading.Lock()
        self._pieces: deque[Piece] = deque()
        # What goes before the first words.
        self._heading = heading
        # Bytes in the pieces, and those dropped because Redis was too slow or away.
        self._waiting = self._skipped = 0
        self._measure: Measure | None = None
        self._news, self._closed = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def write(self, stream: str, text: str) -> None:
        """Note some output."""
        with self._lock:
            if self._heading:
                self._add(Piece("log", self._heading))
                self._heading = ""
            self._add(Piece(stream, text))
            self._drop_oldest()
        self._begin()

    def _add(self, piece: Piece) -> None:
        self._pieces.append(piece)
        self._waiting += len(piece.text.encode())

    def _drop_oldest(self) -> None:
        while self._waiting > self._limit and len(self._pieces) > 1:
            dropped = len(self._pieces.popleft().text.encode())
            self._waiting -= dropped
            self._skipped += dropped

    def measured(self, measure: Measure) -> None:
        """Note how far the job is; only the latest counts."""
        self._measure = measure
        self._begin()

    def close(self) -> None:
        """Write what is left, and note nothing any more."""
        self._closed.set()
        self._news.set()
        if self._thread is not None:
            self._thread.join(PATIENCE)

    def _begin(self) -> None:
        self._news.set()
        if self._thread is None:
            with self._lock:
                if self._thread is None and not self._closed.is_set():
                    self._thread = threading.Thread(
                        target=self._run, daemon=True, name="moi-reporter"
                    )
                    self._thread.start()

    def _run(self) -> None:
        while not self._closed.is_set():
            self._news.wait()
            self._news.clear()
            self._flush()
            self._closed.wait(EVERY)
        self._flush()

    def _flush(self) -> None:
        # Each by itself: when one cannot be written, the other may be.
        for write in (self._flush_measure, self._flush_output):
            try:
                write()
            except MoiError as error:
                # It is tried again with the next words; the job itself is worth more.
                logger.warning("Cannot write what a job says: %s", error)
            except Exception:
                logger.exception("Cannot write what a job says")

    def _flush_measure(self) -> None:
        measure, self._measure = self._measure, None
        if measure is not None:
            self._write_measure(measure)

    def _flush_output(self) -> None:
        with self._lock:
            pieces, self._pieces = self._pieces, deque()
            skipped, self._skipped, self._waiting = self._skipped, 0, 0
            if not self._closed.is_set():
                self._hold_half(pieces)
        if not pieces:
            return
        try:
            self._log.append(pieces, self._limit, skipped)
        except MoiError:
            with self._lock:
                self._pieces.extendleft(reversed(pieces))
                self._skipped += skipped
                self._waiting += sum(len(piece.text.encode()) for piece in pieces)
                # More may have come meanwhile.
                self._drop_oldest()
            raise

    def _hold_half(self, pieces: deque[Piece]) -> None:
        """Keep for later what pieces end with when its other half is still to come."""
        tail, count = "", 0
        for stream, text in reversed(pieces):
            if stream != pieces[-1].stream or len(tail) >= LONGEST:
                break
            tail, count = text + tail, count + 1
        whole = whole_until(tail, -1, len(tail))
        if whole == len(tail):
            return
        stream = pieces[-1].stream
        for _ in range(count):
            pieces.pop()
        if whole:
            pieces.append(Piece(stream, tail[:whole]))
        self._add(Piece(stream, tail[whole:]))
