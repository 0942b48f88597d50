"""What goes to one page: answers at once, changes a few times a second, of each job the latest.

However much changes and however slowly a page reads, no more waits for it than one frame for each
job and group.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from moi_django.bridge.tree_index import Frame, merge_verbs
from moi_django.conf import conf

Answer = Callable[[], Awaitable[None]]


@dataclass(slots=True)
class PendingUpdate:
    """A change that waits for its page."""

    verb: str
    raw: str
    # Watched groups in which it happened.
    roots: set[str] = field(default_factory=set)


Forward = Callable[[str, PendingUpdate], Awaitable[None]]


class SendQueue:
    """Sends one frame after the other: the order is what makes pages right."""

    def __init__(self, send: Callable[[str], Awaitable[None]]) -> None:
        self._send = send
        self._answers: deque[Answer] = deque()
        self._updates: dict[str, PendingUpdate] = {}
        self._wake = asyncio.Event()
        self._next_push = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def send_now(self, verb: str, raw: str) -> None:
        """Send a frame now, from within an answer; `raw` is its JSON.

        Raises TimeoutError when the client does not take it.
        """
        async with asyncio.timeout(conf.SEND_TIMEOUT):
            await self._send(f'{{"{verb}": {raw}}}')

    def enqueue(self, answer: Answer) -> None:
        """Let something be sent when all answers before it are."""
        self._answers.append(answer)
        self._wake.set()

    def enqueue_frame(self, verb: str, raw: str) -> None:
        """Let a frame be sent when all answers before it are."""
        self.enqueue(lambda: self.send_now(verb, raw))

    def put_update(self, root: str, frame: Frame) -> None:
        """Keep a change for the next push, in place of an older one of the same id."""
        verb, id, raw = frame
        update = self._updates.setdefault(id, PendingUpdate(verb, raw))
        update.verb, update.raw = merge_verbs(update.verb, verb), raw
        update.roots.add(root)
        self._wake.set()

    def has_update(self, id: str) -> bool:
        """Tell whether a change of something waits."""
        return id in self._updates

    def drop_updates(self) -> None:
        """Drop what waits: a snapshot follows."""
        self._updates.clear()

    async def send_until_cancelled(self, forward: Forward, pushed: Answer) -> None:
        """Send until cancelled; raises what sending raises.

        `forward` decides about a change that is due, and `pushed` is called after some of them.
        """
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                await self._send_answers()
                if self._updates and self._is_due():
                    await self._push_updates(forward)
                    await pushed()
        finally:
            if self._timer is not None:
                self._timer.cancel()

    async def _send_answers(self) -> None:
        while self._answers:
            await self._answers.popleft()()

    def _is_due(self) -> bool:
        """Tell whether changes may be sent now; otherwise come back when they may."""
        loop = asyncio.get_running_loop()
        if loop.time() >= self._next_push:
            self._next_push = loop.time() + conf.PUSH_EVERY
            return True
        if self._timer is None:
            self._timer = loop.call_at(self._next_push, self._wake_up)
        return False

    def _wake_up(self) -> None:
        # Loops may be early by a little, so the time is not compared again.
        self._timer, self._next_push = None, 0.0
        self._wake.set()

    async def _push_updates(self, forward: Forward) -> None:
        while self._updates:
            id = next(iter(self._updates))
            await forward(id, self._updates.pop(id))
            await self._send_answers()
