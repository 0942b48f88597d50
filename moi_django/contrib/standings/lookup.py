"""How waiting jobs stand in their queues, looked up now and then, however many ask."""

import threading
import time

from moi_django.contrib.standings.queue_order import QueueOrders, Standing
from moi_django.models import Info, State
from moi_django.site_store import get_store
from moi_django.store import Store

# Seconds for which is believed how a queue stands: to look takes 20 ms where 10,000 jobs wait.
STANDINGS_TTL = 2.0

# By store and queue: until when it is believed, and how the jobs stand.
_found: dict[tuple[Store, str], tuple[float, dict[str, Standing]]] = {}
_lock = threading.Lock()


def find_standing(info: Info) -> Standing | None:
    """Return how a job stands in its queue, as it was a moment ago; None unless it is queued.

    Nothing is known of one that has just come, or whose next attempt is due later.
    """
    if info.is_group or info.state is not State.QUEUED:
        return None
    store, queue = get_store(), info.queue
    with _lock:  # who asks at the same time waits for the same answer
        for key in [key for key, (until, _) in _found.items() if until <= time.monotonic()]:
            del _found[key]
        if (store, queue) not in _found:
            standings = QueueOrders(store).standings(queue)
            _found[store, queue] = (time.monotonic() + STANDINGS_TTL, standings)
        return _found[store, queue][1].get(info.id, Standing())
