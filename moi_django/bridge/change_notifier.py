"""Tell pages that show the jobs of all users when something about these has changed.

What that is they look up themselves, so it does not matter how many changes one sign stands for.
"""

import asyncio
from collections.abc import Callable

from redis.asyncio.client import PubSub

# Seconds between two signs at least.
NOTIFY_INTERVAL = 1.0


class ChangeNotifier:
    """The listeners in one event loop, and the subscription that they need."""

    def __init__(self, channel: str, wake: Callable[[], None]) -> None:
        self._channel, self._wake = channel, wake
        self._listeners: set[Callable[[], None]] = set()
        # The connection that is subscribed.
        self._pubsub: PubSub | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._not_before = 0.0

    def __contains__(self, listener: Callable[[], None]) -> bool:
        return listener in self._listeners

    def add_listener(self, listener: Callable[[], None]) -> None:
        """Call a listener soon, and again after changes, at most once a second."""
        self._listeners.add(listener)
        self._wake()
        self.schedule()

    def remove_listener(self, listener: Callable[[], None]) -> None:
        """Undo `add_listener`, if it was done."""
        self._listeners.discard(listener)
        self._wake()

    async def align_subscription(self, pubsub: PubSub) -> None:
        """Bring the subscription of a connection in line with whether anybody listens."""
        is_on = self._pubsub is pubsub
        if self._listeners and not is_on:
            await pubsub.subscribe(self._channel)
            self._pubsub = pubsub
        elif is_on and not self._listeners:
            await pubsub.unsubscribe(self._channel)
            self._pubsub = None

    def accepts(self, channel: str) -> bool:
        """Take in a message or a confirmed subscription; tell whether it was for the listeners."""
        if channel != self._channel:
            return False
        self.schedule()
        return True

    def schedule(self) -> None:
        """Let the listeners be told."""
        if self._listeners and self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(max(loop.time(), self._not_before), self._notify_listeners)

    def cancel_timer(self) -> None:
        """Tell nobody any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _notify_listeners(self) -> None:
        self._timer = None
        self._not_before = asyncio.get_running_loop().time() + NOTIFY_INTERVAL
        for listener in list(self._listeners):
            listener()
