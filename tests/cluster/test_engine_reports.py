"""What real engines say of themselves, and what counts as ended."""

import threading

import pytest

from moi_django import ctx_default, submit
from tests.helpers.processes import wait_for
from tests.site import work

pytestmark = pytest.mark.django_db(transaction=True)


def test_what_cannot_be_sent_counts_as_failed(cluster, store):
    submit(ctx_default, "ada", "a job", None, print, threading.Lock())
    assert (
        sum(ended.jobs.get("failed", 0) for _, ended in store.statistics.completed_by_minute(2))
        == 1
    )
    assert store.statistics.count_by_state()["failed"] == 1


def test_an_engine_says_how_it_is_while_it_has_a_job(cluster, moi, store, tmp_path):
    moi["LEASE"] = 2.0
    gate = tmp_path / "gate"
    job = submit(ctx_default, "ada", "a job", None, work.held, str(gate), str(tmp_path / "told"))
    engine = wait_for(lambda: job.refresh().info.engine, "the start of the job")
    report = wait_for(lambda: store.engines.reports().get(engine), "a report")
    told = tmp_path / "told.pid"
    pid, _ = wait_for(lambda: told.exists() and told.read_text(), "its process").split()
    assert (report.metrics.pid, report.metrics.context) == (int(pid), "default")
    [(id, lease)] = store.queue.leases().items()
    assert id == job.id and lease > store.connection.server_time()
    again = wait_for(
        lambda: store.engines.reports()[engine].at > report.at and store.engines.reports()[engine]
    )
    assert again.metrics.memory > 0
    gate.touch()
    assert job.value() == "released"
    assert store.queue.leases() == {}
