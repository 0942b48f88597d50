"""What one page reads of the output of jobs, as it comes: as fast as the page takes it."""

import json
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from moi_django.bridge.bridge import Bridge
from moi_django.protocol.outbox import Outbox
from moi_django.site_store import get_store
from moi_django.store.logs import BEGINNING, Log

# So many pieces of output are sent at once, and at first: what is older can be downloaded.
PIECES, PIECES_AT_FIRST = 20, 40


class Tail:
    """The output of one job, from some time on."""

    def __init__(self, id: str, outbox: Outbox, in_thread: Callable[..., Awaitable[Any]]) -> None:
        self._id, self._outbox, self._in_thread = id, outbox, in_thread
        self._after: str | None = None
        self._is_due = False

    def read_on(self) -> None:
        """Send what is new when its turn comes; until then it can only become more."""
        if not self._is_due:
            self._is_due = True
            self._outbox.later(self._read)

    async def _read(self) -> None:
        self._is_due = False  # what comes from here on, this may not see
        log = Log(get_store(), self._id)
        if self._after is None:
            entries = await self._in_thread(log.tail, PIECES_AT_FIRST)
            self._after = BEGINNING
        else:
            entries = await self._in_thread(log.read, self._after, PIECES)
        if not entries:
            return
        self._after = entries[-1].id
        said = {"id": self._id, "at": entries[0].at, "pieces": [entry.piece for entry in entries]}
        await self._outbox.send("log", json.dumps(said))
        self.read_on()


class Tails:
    """The jobs whose output one page shows."""

    def __init__(
        self, bridge: Bridge, outbox: Outbox, in_thread: Callable[..., Awaitable[Any]]
    ) -> None:
        self._bridge, self._outbox, self._in_thread = bridge, outbox, in_thread
        self._tails: dict[str, Tail] = {}

    def set(self, ids: Collection[str]) -> None:
        """Follow the output of these jobs and of no others, each from its last pieces on."""
        self.end()
        for id in ids:
            tail = self._tails[id] = Tail(id, self._outbox, self._in_thread)
            self._bridge.follow(id, tail.read_on)
            tail.read_on()

    def end(self) -> None:
        """Follow nothing any more."""
        for id, tail in self._tails.items():
            self._bridge.unfollow(id, tail.read_on)
        self._tails = {}

    def ids(self) -> list[str]:
        """Return the ids of the jobs whose output is followed."""
        return list(self._tails)
