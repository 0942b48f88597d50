"""What goes to one page: answers, and changes, of each job the latest.

However much changes and however slowly a page reads, no more waits for it than one frame for each
job and group.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

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


Updates = dict[str, PendingUpdate]


class SendQueue:
    """Sends one frame after the other: the order is what makes pages right."""

    def __init__(
        self, send: Callable[[str], Awaitable[None]], wake: Callable[[], object], at_once: bool
    ) -> None:
        """`wake` starts `send_all`, which runs only while something is to be sent.

        With `at_once`, all changes that wait are pushed together, else one after the other.
        """
        self._send, self._wake, self._at_once = send, wake, at_once
        self._answers: deque[Answer] = deque()
        self._updates: Updates = {}
        # What sends, until when, and what looks: one for many, as cancelled timers stay for long.
        self._sender: asyncio.Task[Any] | None = None
        self._send_by = 0.0
        self._timer: asyncio.TimerHandle | None = None
        # From the moment that something waits; for ever when that could not be sent.
        self.is_busy = False

    async def send_now(self, verb: str, raw: str) -> None:
        """Send a frame now, from within an answer; `raw` is its JSON.

        Raises TimeoutError when the client does not take it.
        """
        await self.send_text(f'{{"{verb}": {raw}}}')

    async def send_text(self, text: str) -> None:
        """Send the text of a frame, as `send_now` does."""
        loop = asyncio.get_running_loop()
        self._sender, self._send_by = asyncio.current_task(), loop.time() + conf.SEND_TIMEOUT
        if self._timer is None:
            self._timer = loop.call_at(self._send_by, self._check_sender)
        try:
            await self._send(text)
        except asyncio.CancelledError as error:
            if loop.time() < self._send_by:
                raise
            raise TimeoutError from error
        finally:
            self._sender = None

    def _check_sender(self) -> None:
        """End what is being sent for too long; look again later while something is."""
        self.stop_timer()
        loop = asyncio.get_running_loop()
        if self._sender is not None and loop.time() < self._send_by:
            self._timer = loop.call_at(self._send_by, self._check_sender)
        elif self._sender is not None:
            self._sender.cancel()

    def stop_timer(self) -> None:
        """End no sending any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def enqueue(self, answer: Answer) -> None:
        """Let something be sent when all answers before it are."""
        self._answers.append(answer)
        self._start()

    def enqueue_frame(self, verb: str, raw: str) -> None:
        """Let a frame be sent when all answers before it are."""
        self.enqueue(lambda: self.send_now(verb, raw))

    def put_update(self, root: str, frame: Frame) -> None:
        """Keep a change until it can be sent, in place of an older one of the same id."""
        verb, id, raw, _ = frame
        update = self._updates.setdefault(id, PendingUpdate(verb, raw))
        update.verb, update.raw = merge_verbs(update.verb, verb), raw
        update.roots.add(root)
        self._start()

    def has_update(self, id: str) -> bool:
        """Tell whether a change of something waits."""
        return id in self._updates

    def drop_updates(self) -> None:
        """Drop what waits: a snapshot follows."""
        self._updates.clear()

    def _start(self) -> None:
        if not self.is_busy:
            self.is_busy = True
            self._wake()

    async def send_all(self, push: Callable[[Updates], Awaitable[None]]) -> None:
        """Send what waits; raises what sending raises. `push` sends changes as the page sees them.

        Answers come first.
        """
        while self._answers or self._updates:
            if self._answers:
                await self._answers.popleft()()
            elif self._at_once:
                updates, self._updates = self._updates, {}
                await push(updates)
            else:
                id = next(iter(self._updates))
                await push({id: self._updates.pop(id)})
        self.is_busy = False
