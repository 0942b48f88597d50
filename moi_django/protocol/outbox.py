"""What goes to one page: answers at once, changes a few times a second, of each job the latest.

However much changes and however slowly a page reads, no more waits for it than one frame for each
job and group.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from moi_django.bridge.forest import Frame, merged
from moi_django.conf import conf

Answer = Callable[[], Awaitable[None]]


@dataclass(slots=True)
class Mail:
    """A change that waits for its page."""

    verb: str
    raw: str
    # Watched groups in which it happened.
    roots: set[str] = field(default_factory=set)


Forward = Callable[[str, Mail], Awaitable[None]]


class Outbox:
    """Sends one frame after the other: the order is what makes pages right."""

    def __init__(self, send: Callable[[str], Awaitable[None]]) -> None:
        self._send = send
        self._answers: deque[Answer] = deque()
        self._mail: dict[str, Mail] = {}
        self._wake = asyncio.Event()
        self._next_push = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def send(self, verb: str, raw: str) -> None:
        """Send a frame now, from within an answer; `raw` is its JSON.

        Raises TimeoutError when the client does not take it.
        """
        async with asyncio.timeout(conf.SEND_TIMEOUT):
            await self._send(f'{{"{verb}": {raw}}}')

    def later(self, answer: Answer) -> None:
        """Let something be sent when all answers before it are."""
        self._answers.append(answer)
        self._wake.set()

    def later_frame(self, verb: str, raw: str) -> None:
        """Let a frame be sent when all answers before it are."""
        self.later(lambda: self.send(verb, raw))

    def post(self, root: str, frame: Frame) -> None:
        """Keep a change for the next push, in place of an older one of the same id."""
        verb, id, raw = frame
        mail = self._mail.setdefault(id, Mail(verb, raw))
        mail.verb, mail.raw = merged(mail.verb, verb), raw
        mail.roots.add(root)
        self._wake.set()

    def has_mail(self, id: str) -> bool:
        """Tell whether a change of something waits."""
        return id in self._mail

    def forget_changes(self) -> None:
        """Drop what waits: a snapshot follows."""
        self._mail.clear()

    async def run(self, forward: Forward, pushed: Answer) -> None:
        """Send until cancelled; raises what sending raises.

        `forward` decides about a change that is due, and `pushed` is called after some of them.
        """
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                await self._answer()
                if self._mail and self._is_due():
                    await self._push(forward)
                    await pushed()
        finally:
            if self._timer is not None:
                self._timer.cancel()

    async def _answer(self) -> None:
        while self._answers:
            await self._answers.popleft()()

    def _is_due(self) -> bool:
        """Tell whether changes may be sent now; otherwise come back when they may."""
        loop = asyncio.get_running_loop()
        if loop.time() >= self._next_push:
            self._next_push = loop.time() + conf.PUSH_EVERY
            return True
        if self._timer is None:
            self._timer = loop.call_at(self._next_push, self._come_back)
        return False

    def _come_back(self) -> None:
        # Loops may be early by a little, so the time is not compared again.
        self._timer, self._next_push = None, 0.0
        self._wake.set()

    async def _push(self, forward: Forward) -> None:
        while self._mail:
            id = next(iter(self._mail))
            await forward(id, self._mail.pop(id))
            await self._answer()
