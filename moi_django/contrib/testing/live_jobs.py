"""Let the jobs of a test run on real engines."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connections

from moi_django.cluster.reconciler import Reconciler
from moi_django.conf import conf
from moi_django.contrib.attachments.site_storage import FileDeletion
from moi_django.contrib.events.reader import running_readers
from moi_django.contrib.testing import isolation, live_cluster, submissions
from moi_django.exceptions import InvalidJob
from moi_django.site_store import get_store

# Seconds within which engines leave when jobs have ended, and between two looks at that.
LEFT_WITHIN, BETWEEN_LOOKS = 10.0, 0.02


@contextmanager
def live_jobs() -> Iterator[None]:
    """Run jobs on engines in the block, which a process of tests starts once, and a reconciler.

    Engines see what is committed: use it in a TransactionTestCase. What has not ended with the
    block is cancelled.
    """
    if not conf.is_isolated:
        raise InvalidJob("This is no test, or MOI['TEST_ISOLATION'] is False.")
    _refuse_test_case()
    isolation.set_live_cluster(live_cluster.start_once())
    stop = threading.Event()
    look = Reconciler(tasks=[FileDeletion().delete_due]).run_until
    reconciler = threading.Thread(target=look, args=[stop], daemon=True)
    reconciler.start()
    try:
        with running_readers():
            yield
    finally:
        for each in submissions.submitted():
            if not each.info.finished:
                each.job.cancel()
        _wait_until_engines_have_left()
        stop.set()
        reconciler.join()
        isolation.set_live_cluster(None)


def _wait_until_engines_have_left() -> None:
    """Return when none waits for further jobs: it would take what the next test holds."""
    queue, end = get_store().queue, time.monotonic() + LEFT_WITHIN
    while any(map(queue.workers, queue.names())) and time.monotonic() < end:
        time.sleep(BETWEEN_LOOKS)


def _refuse_test_case() -> None:
    """Raise InvalidJob where an engine would see nothing of what a test does."""
    opened = [each for each in connections.all(initialized_only=True) if each.in_atomic_block]
    if any(getattr(block, "_from_testcase", False) for c in opened for block in c.atomic_blocks):
        raise InvalidJob(
            "Engines see nothing of the transaction of a TestCase: use MoiTransactionTestCase for "
            "live jobs, or the fixture live_jobs."
        )
