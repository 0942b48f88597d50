"""What real engines say of themselves, and what counts as ended."""

import threading

import pytest

from moi_django import ctx_default, submit
from moi_django.contrib.monitoring.statistics import Statistics
from tests.helpers.held_job import Held
from tests.helpers.processes import wait_for

pytestmark = pytest.mark.django_db(transaction=True)


def test_what_cannot_be_sent_counts_as_failed(cluster, store):
    submit(ctx_default, "ada", "a job", None, print, threading.Lock())
    assert (
        sum(
            ended.jobs.get("failed", 0)
            for _, ended in Statistics(store.connection).completed_by_minute(2)
        )
        == 1
    )
    assert Statistics(store.connection).count_by_state()["failed"] == 1


def test_an_engine_says_how_it_is_while_it_has_a_job(cluster, moi, store, tmp_path):
    moi["LEASE"] = 2.0
    held = Held(tmp_path, "held")
    engine = held.engine
    id = wait_for(lambda: held.job.refresh().info.engine, "the start of the job")
    report = wait_for(lambda: store.engines.reports().get(id), "a report")
    assert (report.metrics.pid, report.metrics.context) == (engine.pid, "default")
    [(attempt, lease)] = store.queue.running().items()
    assert attempt.id == held.job.id
    again = wait_for(
        lambda: store.engines.reports()[id].at > report.at and store.engines.reports()[id]
    )
    assert again.metrics.memory > 0
    wait_for(lambda: store.queue.running()[attempt] > lease)
    held.gate.touch()
    assert held.job.value() == "released"
    assert store.queue.running() == {}
