"""A trace in Redis of who looks after jobs: without one, what dies is not noticed."""

import time

from moi_django.site_store import get_store

# Seconds between two traces, and for which one is kept: longer than anybody asks back.
INTERVAL, LIFETIME = 5.0, 86_400 * 14


class ReconcilerHeartbeat:
    """Leaves the trace; a task of the reconciler, which calls it in each round."""

    def __init__(self) -> None:
        self._due_at = 0.0

    def beat(self) -> None:
        """Note that a reconciler looks after jobs now. Raises StoreUnavailable or NotRunning."""
        if time.monotonic() < self._due_at:
            return
        connection = get_store().connection
        present = connection.server_time()
        with connection.translated_errors():
            connection.redis.set(connection.keys.health("reconciler"), present, ex=LIFETIME)
        self._due_at = time.monotonic() + INTERVAL


def reconciled_at() -> float | None:
    """Return when a reconciler has left its last trace, by the clock of Redis; None for never."""
    connection = get_store().connection
    with connection.translated_errors():
        found = connection.redis.get(connection.keys.health("reconciler"))
    try:
        return float(found) if found is not None else None
    except ValueError:
        return None  # of another program


def seconds_since_reconciled() -> float | None:
    """Return for how many seconds no reconciler has left a trace; None when there is none."""
    present, last = get_store().connection.server_time(), reconciled_at()
    return None if last is None else max(0.0, present - last)
