"""The output of one job in Redis: a stream of pieces, from which the oldest are dropped."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from moi_django.store import Store

# Bytes of text in one entry at most, so that each message to a page is of bounded length.
PIECE = 32_000
# So many entries are looked through at once for the first one to keep.
BATCH = 100
BEGINNING = "0-0"
# An escape sequence without its end: of a colour and the like, of a title or a link, another one.
UNFINISHED = r"\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b\n]*\x1b?|[ -/]*)"
# What may be the first half of something for terminals: such a one, or the end of a line.
_HALF = re.compile(rf"(?:\r|{UNFINISHED})\Z")
# Characters that it has at most.
LONGEST = 256
# Seconds after which a follower looks by itself whether it is over.
FOLLOW = 0.5


class Piece(NamedTuple):
    """Some text that a job has printed."""

    # "stdout", "stderr" or "log".
    stream: str
    text: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A piece in its place."""

    # What to read on from.
    id: str
    # Bytes of output before it, dropped ones included.
    at: int
    piece: Piece

    @property
    def end(self) -> int:
        """Bytes of output up to its end."""
        return self.at + len(self.piece.text.encode())


class Log:
    """What one job has printed."""

    def __init__(self, store: Store, id: str) -> None:
        self._store, self._redis = store, store.redis
        self._key = store.log_key(id)

    def append(self, pieces: Sequence[Piece], limit: int, skipped: int = 0) -> None:
        """Add pieces and tell who listens; keep about `limit` bytes, the latest.

        `skipped` are bytes that came before these and were dropped already.
        """
        last = self.tail(1)
        at = (last[0].end if last else 0) + skipped
        with self._store.answers():
            pipeline = self._redis.pipeline()
            for piece in _cut(pieces):
                pipeline.xadd(self._key, {"s": piece.stream, "t": piece.text, "at": at})
                at += len(piece.text.encode())
            pipeline.expire(self._key, self._store.expire)
            pipeline.publish(self._key, "more")
            pipeline.execute()
        self._trim(at - limit)

    def read(self, after: str = BEGINNING, count: int | None = None) -> list[Entry]:
        """Return the entries after one, the oldest first."""
        with self._store.answers():
            return self._entries(self._redis.xrange(self._key, f"({after}", "+", count))

    def tail(self, count: int) -> list[Entry]:
        """Return the last entries, the oldest first."""
        with self._store.answers():
            return self._entries(self._redis.xrevrange(self._key, count=count))[::-1]

    def whole(self) -> Iterator[Entry]:
        """Yield all that is kept, some entries at a time."""
        after = BEGINNING
        while entries := self.read(after, BATCH):
            yield from entries
            after = entries[-1].id

    def follow(self, is_over: Callable[[], bool]) -> Iterator[Entry]:
        """Yield all that is kept and what comes, until there is no more and it is over."""
        after = BEGINNING
        with self._store.listen_to(self._key) as heard:
            while True:
                over = is_over()  # asked first: what comes before an end is read after it
                entries = self.read(after, BATCH)
                yield from entries
                if entries:
                    after = entries[-1].id
                elif over:
                    return
                else:
                    heard(FOLLOW)

    def _trim(self, before: int) -> None:
        """Drop what ends before a number of bytes."""
        while before > 0 and (entries := self.read(count=BATCH)) and entries[0].end <= before:
            keep = next((entry for entry in entries if entry.end > before), entries[-1])
            with self._store.answers():
                self._redis.xtrim(self._key, minid=keep.id, approximate=False)
            if keep is not entries[-1]:
                return

    @staticmethod
    def _entries(found: Any) -> list[Entry]:
        return [
            Entry(
                id.decode(), int(fields[b"at"]), Piece(fields[b"s"].decode(), _text(fields[b"t"]))
            )
            for id, fields in found
        ]


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")


def _cut(pieces: Sequence[Piece]) -> Iterator[Piece]:
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
            end = min(start + PIECE // 4, len(text))
            if end < len(text):
                end = whole_until(text, start, end)
            yield Piece(stream, text[start:end])
            start = end


def whole_until(text: str, start: int, end: int) -> int:
    """Return where to cut before `end` and after `start`, so that nothing is cut in two.

    A page could not tell what half of an escape sequence means, nor whether a carriage return is
    the end of a line.
    """
    half = _HALF.search(text, max(start + 1, end - LONGEST), end)
    return half.start() if half else end
