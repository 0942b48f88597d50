"""Signals of Django for what becomes of jobs, for who connects."""

import pytest

from moi_django import Job, signals
from moi_django.conf import conf
from moi_django.contrib.events import registry
from moi_django.contrib.events.reader import deliver_all, running_readers
from moi_django.models import State
from moi_django.site_store import get_store
from tests.helpers.processes import wait_for
from tests.helpers.queues import claim, queued_job
from tests.helpers.records import finish, mark_retried, new_group
from tests.helpers.redis_keys import everything

NAMES = ("job_submitted", "job_started", "job_status_changed", "job_finished")
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def nobody_listens(moi, monkeypatch):
    monkeypatch.setattr(registry, "_consumers", {})
    monkeypatch.setattr(conf, "hears_events", False)


@pytest.fixture
def connect():
    """Return what connects a receiver to a signal for the time of a test."""
    connected = []

    def connect(name, receiver):
        signal = getattr(signals, name)
        signal.connect(receiver, weak=False)
        connected.append((signal, receiver))

    yield connect
    for signal, receiver in connected:
        signal.disconnect(receiver)


@pytest.fixture
def sent(connect):
    """What was sent: (signal, id, status)."""
    found = []
    for name in NAMES:

        def receive(sender, signal, job, info, name=name):
            assert sender is Job
            assert signal is getattr(signals, name)
            assert isinstance(job, Job)
            assert job.info == info
            found.append((name, info.id, info.status))

        connect(name, receive)
    return found


@pytest.fixture
def store(sent):
    return get_store()


@pytest.fixture
def root(store):
    return store.users.enrol("ada", new_group)


def test_what_becomes_of_a_job(store, root, sent):
    job = queued_job(store, root)
    claim(store)
    store.jobs.change(job.id, lambda info: info.changed(status="Half way"))
    finish(store, job)
    deliver_all()
    assert sent == [
        ("job_submitted", job.id, "Queued"),
        ("job_started", job.id, "Running"),
        ("job_status_changed", job.id, "Half way"),
        ("job_finished", job.id, "Success"),
    ]


@pytest.mark.parametrize("state", [state for state in State if state.finished])
def test_every_end_is_sent_once_and_a_retry_as_the_new_job(store, root, sent, state):
    job = queued_job(store, root)
    finish(store, job, state)
    mark_retried(store, job.id, "another")
    deliver_all()
    assert [name for name, _, _ in sent] == ["job_submitted", "job_finished"]


def test_a_job_that_is_gone_is_told_all_the_same(store, root, sent):
    job = queued_job(store, root)
    store.tree.remove(job.id)
    deliver_all()
    assert sent[-1] == ("job_finished", job.id, "Cancelled")


def test_a_receiver_that_raises_stops_no_other(store, root, sent, connect, caplog):
    connect("job_submitted", lambda **_: 1 / 0)
    after = []
    connect("job_submitted", lambda info, **_: after.append(info.id))
    job = queued_job(store, root)
    deliver_all()
    assert sent == [("job_submitted", job.id, "Queued")]
    assert after == [job.id]
    assert "ZeroDivisionError" in caplog.text
    assert deliver_all() == 0


def test_one_receiver_is_all_that_it_takes(connect):
    heard = []
    connect("job_finished", lambda info, **_: heard.append(info.id))
    store = get_store()
    with running_readers():
        job = queued_job(store, store.users.enrol("ada", new_group))
        finish(store, job)
        wait_for(lambda: heard == [job.id])


def test_where_nobody_connects_nothing_is_written():
    store = get_store()
    queued_job(store, store.users.enrol("ada", new_group))
    assert not {key for key in everything(store) if key.startswith("events")}
