"""Leases: numbers in Redis that grow for as long as their holder lives."""

import time
from collections.abc import Callable
from typing import Any

# Seconds between two looks at leases that are believed to have passed for engines, too.
MAX_GAP = 3.0


class LeaseObserver:
    """Tells which leases stand still, by the clock of this process alone.

    Time in which nobody looked does not count beyond MAX_GAP: the machine may have slept, and the
    engines with it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._looked_at = clock()
        # For how many seconds leases have been watched.
        self.watched = 0.0
        # The lease, and how long had been watched when that was seen first.
        self._seen: dict[Any, tuple[float, float]] = {}

    def overdue(self, leases: dict[Any, float], patience: Callable[[Any], float]) -> list[Any]:
        """Return whose lease has not changed for their `patience` seconds.

        Holders that are not given are forgotten.
        """
        before, self._looked_at = self._looked_at, self._clock()
        self.watched += min(MAX_GAP, self._looked_at - before)
        self._seen = {
            holder: (lease, self._since(holder, lease)) for holder, lease in leases.items()
        }
        return [
            holder
            for holder, (_, since) in self._seen.items()
            if self.watched - since >= patience(holder)
        ]

    def _since(self, holder: Any, lease: float) -> float:
        before, since = self._seen.get(holder, (lease, self.watched))
        return since if before == lease else self.watched
