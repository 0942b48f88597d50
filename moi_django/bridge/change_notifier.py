"""Tell pages that show the jobs of all users when something about these has changed.

What that is they look up themselves, so it does not matter how many changes one sign stands for.
"""

import asyncio
from collections.abc import Callable

# Seconds between two signs at least.
NOTIFY_INTERVAL = 1.0


class ChangeNotifier:
    """The listeners in one event loop; `wake` is called when there are others than before."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake, self._due = wake, asyncio.Event()
        self._listeners: set[Callable[[], None]] = set()

    def __contains__(self, listener: Callable[[], None]) -> bool:
        return listener in self._listeners

    def __len__(self) -> int:
        return len(self._listeners)

    def add_listener(self, listener: Callable[[], None]) -> None:
        """Call a listener soon, and again after changes, at most once a second."""
        self._listeners.add(listener)
        self._wake()
        self.schedule()

    def remove_listener(self, listener: Callable[[], None]) -> None:
        """Undo `add_listener`, if it was done."""
        self._listeners.discard(listener)
        self._wake()

    def schedule(self) -> None:
        """Let the listeners be told."""
        self._due.set()

    async def notify_listeners(self) -> None:
        """Tell them when it is due."""
        while True:
            await self._due.wait()
            self._due.clear()
            for listener in list(self._listeners):
                listener()
            await asyncio.sleep(NOTIFY_INTERVAL)
