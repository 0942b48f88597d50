"""A trace in Redis of who looks after jobs: without one, what dies is not noticed."""

import time
from typing import Any

from moi_django.site_store import get_store
from moi_django.validation import number_of

# Seconds between two traces, and for which the hash is kept that has them, and what is counted of
# jobs: longer than any site is idle.
INTERVAL, LIFETIME = 5.0, 400 * 86_400
RECONCILED = "reconciled"


class ReconcilerHeartbeat:
    """Leaves the trace; a task of the reconciler, which calls it in each round."""

    def __init__(self) -> None:
        self._due_at = 0.0

    def beat(self) -> None:
        """Note that a reconciler looks after jobs now. Raises StoreUnavailable or NotRunning."""
        if time.monotonic() < self._due_at:
            return
        connection = get_store().connection
        key, present = connection.keys.metrics, connection.server_time()
        with connection.translated_errors():
            pipeline = connection.redis.pipeline()
            pipeline.hset(key, RECONCILED, str(present))
            pipeline.expire(key, LIFETIME)
            pipeline.execute()
        self._due_at = time.monotonic() + INTERVAL


def reconciled_at() -> float | None:
    """Return when a reconciler has left its last trace, by the clock of Redis; None for never."""
    connection = get_store().connection
    with connection.translated_errors():
        found: Any = connection.redis.hget(connection.keys.metrics, RECONCILED)
    return number_of(found) or None


def seconds_since_reconciled() -> float | None:
    """Return for how many seconds no reconciler has left a trace; None when there is none."""
    present, last = get_store().connection.server_time(), reconciled_at()
    return None if last is None else max(0.0, present - last)
