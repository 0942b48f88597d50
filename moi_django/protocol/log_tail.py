"""What one page reads of the output of jobs, as it comes: as fast as the page takes it."""

import json
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from moi_django.bridge.redis_bridge import Bridge
from moi_django.protocol.send_queue import SendQueue
from moi_django.site_store import get_store
from moi_django.store.logs import BEGINNING

# How many pieces of output a frame has, and the first one: what is older can be downloaded.
PIECES_PER_FRAME, PIECES_IN_FIRST_FRAME = 20, 40


class LogTail:
    """The output of one job, from some time on."""

    def __init__(
        self, id: str, send_queue: SendQueue, in_thread: Callable[..., Awaitable[Any]]
    ) -> None:
        self._id, self._send_queue, self._in_thread = id, send_queue, in_thread
        self._after: str | None = None
        self._is_due = False

    def schedule_read(self) -> None:
        """Send what is new when its turn comes; until then it can only become more."""
        if not self._is_due:
            self._is_due = True
            self._send_queue.enqueue(self._send_next)

    async def _send_next(self) -> None:
        self._is_due = False  # what comes from here on, this may not see
        log = get_store().logs.open(self._id)
        if self._after is None:
            entries = await self._in_thread(log.read_last, PIECES_IN_FIRST_FRAME)
            self._after = BEGINNING
        else:
            entries = await self._in_thread(log.read_after, self._after, PIECES_PER_FRAME)
        if not entries:
            return
        self._after = entries[-1].id
        said = {"id": self._id, "at": entries[0].at, "pieces": [entry.piece for entry in entries]}
        await self._send_queue.send_now("log", json.dumps(said))
        self.schedule_read()


class LogTails:
    """The jobs whose output one page shows."""

    def __init__(
        self, bridge: Bridge, send_queue: SendQueue, in_thread: Callable[..., Awaitable[Any]]
    ) -> None:
        self._bridge, self._send_queue, self._in_thread = bridge, send_queue, in_thread
        self._tails: dict[str, LogTail] = {}

    def replace(self, job_ids: Collection[str]) -> None:
        """Follow the output of these jobs and of no others, each from its last pieces on."""
        self.unfollow_all()
        for id in job_ids:
            tail = self._tails[id] = LogTail(id, self._send_queue, self._in_thread)
            self._bridge.follow_log(id, tail.schedule_read)
            tail.schedule_read()

    def unfollow_all(self) -> None:
        """Follow nothing any more."""
        for id, tail in self._tails.items():
            self._bridge.unfollow_log(id, tail.schedule_read)
        self._tails = {}

    def job_ids(self) -> list[str]:
        """Return the ids of the jobs whose output is followed."""
        return list(self._tails)
