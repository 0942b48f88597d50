"""The output of one job in Redis: a stream of pieces, from which the oldest are dropped."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from moi_django.store.connection import Connection
from moi_django.validation import number_of

STREAMS = ("stdout", "stderr", "log")
# No log has more bytes.
MAX_AT = 1 << 50
# Maximum bytes of text in one entry, so that each message to a page is of bounded length.
MAX_PIECE = 32_000
# How many entries are looked through at once for the first one to keep.
BATCH_SIZE = 100
BEGINNING = "0-0"
# An escape sequence without its end: of a colour and the like, of a title or a link, another one.
UNFINISHED = r"\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b\n]*\x1b?|[ -/]*)"
# What may be the first half of something for terminals: such a one, or the end of a line.
_HALF = re.compile(rf"(?:\r|{UNFINISHED})\Z")
# Maximum length of such a half in characters.
MAX_UNFINISHED = 256
# Seconds after which a follower looks by itself whether it is over.
FOLLOW_INTERVAL = 0.5


class OutputPiece(NamedTuple):
    """Some text that a job has printed."""

    # One of STREAMS.
    stream: str
    text: str


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A piece in its place."""

    # What to read on from.
    id: str
    # Bytes of output before it, dropped ones included.
    at: int
    piece: OutputPiece

    @property
    def end(self) -> int:
        """Bytes of output up to its end."""
        return self.at + len(self.piece.text.encode())


class JobLog:
    """What one job has printed."""

    def __init__(self, connection: Connection, id: str) -> None:
        self._connection, self._redis = connection, connection.redis
        self._key = connection.keys.log(id)

    def append(self, pieces: Sequence[OutputPiece], limit: int, skipped: int = 0) -> None:
        """Add pieces and tell who listens; keep about `limit` bytes, the latest.

        `skipped` are bytes that came before these and were dropped already.
        """
        last = self.read_last(1)
        at = (last[0].end if last else 0) + skipped
        with self._connection.translated_errors():
            pipeline = self._redis.pipeline()
            for piece in _merge_pieces(pieces):
                pipeline.xadd(self._key, {"s": piece.stream, "t": piece.text, "at": at})
                at += len(piece.text.encode())
            pipeline.expire(self._key, self._connection.config.expire)
            pipeline.publish(self._key, "more")
            pipeline.execute()
        self._trim(at - limit)

    def read_after(self, after: str = BEGINNING, count: int | None = None) -> list[LogEntry]:
        """Return the entries after one, the oldest first."""
        with self._connection.translated_errors():
            return self._parse_entries(self._redis.xrange(self._key, f"({after}", "+", count))

    def read_last(self, count: int) -> list[LogEntry]:
        """Return the last entries, the oldest first."""
        with self._connection.translated_errors():
            return self._parse_entries(self._redis.xrevrange(self._key, count=count))[::-1]

    def read_all(self) -> Iterator[LogEntry]:
        """Yield all that is kept, some entries at a time."""
        after = BEGINNING
        while entries := self.read_after(after, BATCH_SIZE):
            yield from entries
            after = entries[-1].id

    def follow(self, is_over: Callable[[], bool]) -> Iterator[LogEntry]:
        """Yield all that is kept and what comes, until there is no more and it is over."""
        after = BEGINNING
        with self._connection.listen(self._key) as wait:
            while True:
                is_done = is_over()  # asked first: what comes before an end is read after it
                entries = self.read_after(after, BATCH_SIZE)
                yield from entries
                if entries:
                    after = entries[-1].id
                elif is_done:
                    return
                else:
                    wait(FOLLOW_INTERVAL)

    def _trim(self, before: int) -> None:
        """Drop what ends before a number of bytes."""
        while (
            before > 0
            and (entries := self.read_after(count=BATCH_SIZE))
            and entries[0].end <= before
        ):
            keep = next((entry for entry in entries if entry.end > before), entries[-1])
            with self._connection.translated_errors():
                self._redis.xtrim(self._key, minid=keep.id, approximate=False)
            if keep is not entries[-1]:
                return

    @staticmethod
    def _parse_entries(found: Any) -> list[LogEntry]:
        """Return entries as they are read; of a foreign one what there is, at the end before."""
        entries: list[LogEntry] = []
        for id, fields in found:
            stream, text = (fields.get(name, b"").decode(errors="replace") for name in (b"s", b"t"))
            before = entries[-1].end if entries else 0
            at = int(number_of(fields[b"at"])) if b"at" in fields else before
            piece = OutputPiece(stream if stream in STREAMS else "log", text)
            entries.append(LogEntry(id.decode(), min(MAX_AT, max(0, at)), piece))
        return entries


def _merge_pieces(pieces: Sequence[OutputPiece]) -> Iterator[OutputPiece]:
    """Yield pieces of bounded length, what came from one stream in a row as one."""
    whole: list[tuple[str, list[str]]] = []
    for stream, text in pieces:
        if not whole or whole[-1][0] != stream:
            whole.append((stream, []))
        whole[-1][1].append(text)
    for stream, texts in whole:
        text, start = "".join(texts), 0
        while start < len(text):
            # A character takes up to four bytes.
            end = min(start + MAX_PIECE // 4, len(text))
            if end < len(text):
                end = cut_position(text, start, end)
            yield OutputPiece(stream, text[start:end])
            start = end


def cut_position(text: str, start: int, end: int) -> int:
    """Return where to cut before `end` and after `start`, so that nothing is cut in two.

    A page could not tell what half of an escape sequence means, nor whether a carriage return is
    the end of a line.
    """
    half = _HALF.search(text, max(start + 1, end - MAX_UNFINISHED), end)
    return half.start() if half else end


class Logs:
    """The logs of all jobs."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def open(self, id: str) -> JobLog:
        """Return the log of a job; nothing is read before it is asked for."""
        return JobLog(self._connection, id)
