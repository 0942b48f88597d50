"""Look after the jobs of a site without going on running, as from cron."""

import time
from typing import Any

from moi_django.cluster.reconciler import CALL_PATIENCE, RECONCILE_INTERVAL, Reconciler
from moi_django.conf import conf
from moi_django.site_store import get_store


def reconcile_once(reconciler: Reconciler, interval: float = RECONCILE_INTERVAL) -> None:
    """Do what is to be done now, with a look every `interval` seconds.

    What runs or is at a queue by then is waited for until its lease has been renewed, which is soon
    unless it is dead, or has stood still for too long. Raises StoreUnavailable or NotRunning.
    """
    reconciler.reconcile()
    unchanged, end = _leases(), time.monotonic() + 2 * max(conf.LEASE, CALL_PATIENCE)
    while unchanged and time.monotonic() < end:
        time.sleep(interval)
        reconciler.reconcile()
        unchanged = dict(unchanged.items() & _leases().items())


def _leases() -> dict[Any, float]:
    """Return the leases of attempts, and those of engines and calls at each queue."""
    queue = get_store().queue
    leases: dict[Any, float] = {**queue.running()}
    for name in queue.names():
        leases |= {(name, worker): lease for worker, lease in queue.workers(name).items()}
    return leases
