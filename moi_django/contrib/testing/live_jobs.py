"""Let the jobs of a test run on real engines."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connections

from moi_django.cluster.reconciler import Reconciler
from moi_django.conf import conf
from moi_django.contrib.events.reader import running_readers
from moi_django.contrib.testing import isolation, live_cluster, submissions
from moi_django.exceptions import InvalidJob


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
    reconciler = threading.Thread(target=Reconciler().run_until, args=[stop], daemon=True)
    reconciler.start()
    try:
        with running_readers():
            yield
    finally:
        for each in submissions.submitted():
            if not each.info.finished:
                each.job.cancel()
        stop.set()
        reconciler.join()
        isolation.set_live_cluster(None)


def _refuse_test_case() -> None:
    """Raise InvalidJob where an engine would see nothing of what a test does."""
    opened = [each for each in connections.all(initialized_only=True) if each.in_atomic_block]
    if any(getattr(block, "_from_testcase", False) for c in opened for block in c.atomic_blocks):
        raise InvalidJob(
            "Engines see nothing of the transaction of a TestCase: use MoiTransactionTestCase for "
            "live jobs, or the fixture live_jobs."
        )
