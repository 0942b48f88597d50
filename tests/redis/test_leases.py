"""Whose lease stands still is taken for dead, by no clock but that of who looks."""

import re

import pytest

from moi_django import Group, Options
from moi_django.cluster import leases as leases_module
from moi_django.cluster import reconciler as reconciler_module
from moi_django.cluster.leases import LeaseObserver
from moi_django.cluster.payloads import sign_payload
from moi_django.cluster.reconciler import Reconciler
from moi_django.contrib.services.single_look import reconcile_once
from moi_django.engine.payloads import Payload
from moi_django.models import State
from moi_django.site_store import get_store
from moi_django.store.queue import Worker
from tests.helpers.clocks import RedisWithClock
from tests.helpers.package import PACKAGE
from tests.helpers.processes import wait_for
from tests.helpers.queues import QUEUE, claim, claim_all, job_for, queued_job
from tests.helpers.records import new_group

HOUR = 3600


@pytest.fixture
def root(store):
    return store.users.enrol("ada", new_group)


# Who stands still


@pytest.fixture
def clock():
    """A clock that stands still until it is told the time."""
    return Clock()


class Clock:
    present = 1000.0

    def __call__(self):
        return self.present


def test_a_lease_that_stands_still_is_overdue_and_one_that_grows_is_not(clock):
    observer, found = LeaseObserver(clock), []
    for second in range(9):
        clock.present = 1000 + second
        found.append(observer.overdue({"grows": second, "stands": 7}, lambda _: 5))
    assert found == [[]] * 5 + [["stands"]] * 4


def test_each_has_patience_of_its_own(clock):
    observer, patience = LeaseObserver(clock), {"call": 1, "engine": 2}.get
    found = []
    for second in range(3):
        clock.present = 1000 + second
        found.append(observer.overdue({"engine": 1, "call": 1}, patience))
    assert found == [[], ["call"], ["engine", "call"]]


def test_who_was_away_is_seen_anew(clock):
    observer = LeaseObserver(clock)
    for second, leases in enumerate([{"a": 1}, {}, {"a": 1}]):
        clock.present = 1000 + second
        assert observer.overdue(leases, lambda _: 1) == []


def test_a_machine_that_has_slept_takes_no_engine_for_dead(clock):
    observer = LeaseObserver(clock)
    observer.overdue({"a": 1, "b": 1}, lambda _: 8)
    clock.present += 3600
    assert observer.overdue({"a": 1, "b": 1}, lambda _: 8) == []
    for lease in range(2, 5):
        clock.present += 2
        found = observer.overdue({"a": lease, "b": 1}, lambda _: 8)
    assert found == ["b"]


# What the reconciler does about it


def reconcile_until(condition, renew=lambda: None):
    """Let it look again and again, and an engine renew its leases."""
    said = []
    reconciler = Reconciler(said.append)

    def look():
        renew()
        reconciler.reconcile()
        return condition()

    wait_for(look)
    return said


def test_what_stands_still_gets_its_end_and_only_that(store, root, moi):
    moi["LEASE"] = 0.5
    frozen, alive = queued_job(store, root), queued_job(store, root)
    claim(store, "frozen")
    running = claim(store, "alive").info
    said = reconcile_until(
        lambda: store.jobs.get(frozen.id).finished, lambda: store.queue.renew(running)
    )
    assert said == [f"job {frozen.id} lost its engine"]
    assert store.jobs.get(frozen.id).state is State.LOST
    assert store.jobs.get(alive.id) == running
    assert [attempt.id for attempt in store.queue.running()] == [alive.id]


def test_what_asked_for_it_is_run_again(store, moi, db):
    moi["LEASE"] = 0.2
    job = job_for(Group.of("no-user").info, attempts=2)
    options = Options(retries=1, retry_on_lost=True, backoff=0.01)
    store.jobs.create(job, sign_payload(job, Payload(b"call", options, "lab")))
    claim(store)
    said = reconcile_until(lambda: store.queue.waiting_count("lab"))
    assert said == [f"job {job.id} lost its engine", f"job {job.id} is run again"]
    assert claim(store).info.attempt == 2


def test_an_attempt_of_a_job_that_is_gone_is_dropped(store, root, moi):
    moi["LEASE"] = 0.0
    job = queued_job(store, root)
    claim(store)
    store.connection.redis.delete(store.keys.info(job.id))  # as when it has expired
    store.connection.redis.zadd(store.keys.delayed, {"2:nothing": 0})
    assert reconcile_until(lambda: not store.queue.running()) == []
    assert store.queue.delayed_count() == 0


def test_engines_that_are_gone_and_calls_that_were_lost_are_not_counted_on(
    store, root, moi, monkeypatch
):
    monkeypatch.setattr(reconciler_module, "CALL_PATIENCE", 0.2)
    moi["LEASE"] = 0.5
    queued_job(store, root)
    store.queue.note_calls(QUEUE, 1, 9, "call:a")
    claim(store, "gone")
    claim(store, "alive")
    assert store.queue.workers(QUEUE).keys() == {"gone", "alive", "call:a:1"}
    alive = Worker(QUEUE, "alive")
    reconcile_until(
        lambda: store.queue.workers(QUEUE).keys() == {"alive"},
        lambda: store.queue.renew_worker(alive),
    )
    queued_job(store, root)
    assert len(store.queue.note_calls(QUEUE, 3, 9, "call:b")) == 0  # the living one lingers
    queued_job(store, root)
    assert len(store.queue.note_calls(QUEUE, 3, 9, "call:b")) == 1


def test_one_that_ends_waits_for_what_may_be_dead(store, root, moi, monkeypatch):
    monkeypatch.setattr(reconciler_module, "CALL_PATIENCE", 0.3)
    # However long a lease may stand still.
    monkeypatch.setattr(leases_module, "MAX_GAP", 0.1)
    moi["LEASE"] = 0.5
    store.queue.note_calls(QUEUE, 1, 9, "call:lost")
    frozen, alive = queued_job(store, root), queued_job(store, root)
    claim(store, "frozen")
    running = claim(store, "alive").info

    def renew():
        store.queue.renew(running)
        store.queue.renew_worker(Worker(QUEUE, "alive"))

    said = []
    reconcile_once(Reconciler(said.append, [renew]), 0.05)
    assert said == [f"job {frozen.id} lost its engine"]
    assert store.jobs.get(frozen.id).state is State.LOST
    assert store.jobs.get(alive.id) == running
    assert store.queue.workers(QUEUE).keys() == {"alive"}


def test_one_that_ends_waits_for_no_engine_that_lives(store, root, moi):
    moi["LEASE"] = 600.0
    queued_job(store, root)
    running, said = claim(store).info, []
    worker = Worker(QUEUE, running.engine)
    renewals = [lambda: store.queue.renew(running), lambda: store.queue.renew_worker(worker)]
    reconcile_once(Reconciler(said.append, renewals), 0.05)
    assert said == []
    assert store.jobs.get(running.id) == running


def test_what_waits_says_what_for(store, root, moi):
    moi["CONTEXTS"] = {"lab": {"connection_file": "/nonexistent.json"}}
    job, odd = queued_job(store, root), queued_job(store, root, context='no "lab" \\')
    waits = "Waits for an engine of 'lab'"
    reconcile_until(lambda: store.jobs.get(job.id).status == waits)
    assert store.jobs.get(odd.id).status.startswith('Waits for an engine of \'no "lab"')
    assert claim(store).info.status == "Running"
    claimed = store.queue.claim(Worker(odd.queue, "one"), "a", "2026-01-02 10:00:00.000000")
    assert claimed.info.status == "Running"


# No clock


@pytest.fixture
def clocked(moi, tmp_path, monkeypatch):
    """A Redis whose clock jumps, as that of the site."""
    server = RedisWithClock(tmp_path)
    monkeypatch.setenv("MOI_REDIS_SERVER", str(server.program))
    with server:
        moi["REDIS_URL"] = server.url
        yield server


def test_the_order_is_that_of_creation_whatever_the_clock_says(clocked):
    store = get_store()
    root, jobs = store.users.enrol("ada", new_group), []
    for offset in (0, HOUR, -2 * HOUR, 24 * HOUR, 0):
        clocked.jump(offset)
        jobs.append(queued_job(store, root))
    again = store.jobs.change(claim(store).info.id, lambda info: info.requeued(State.LOST, "x"))
    clocked.jump(-24 * HOUR)
    assert claim_all(store) == [job.id for job in jobs[1:]] + [again.id]


def test_a_clock_that_jumps_loses_nothing_and_runs_nothing_again(clocked, moi):
    moi["LEASE"] = 30.0
    store, said = get_store(), []
    root, reconciler = store.users.enrol("ada", new_group), Reconciler(said.append)
    waiting = [queued_job(store, root) for _ in range(3)]
    running = claim(store).info
    for offset in (HOUR, -HOUR, 24 * HOUR, 0):
        clocked.jump(offset)
        reconciler.reconcile()
        assert store.queue.renew(running) is True
    assert said == []
    assert store.jobs.get(running.id) == running
    assert claim_all(store, "two") == [job.id for job in waiting[1:]]
    assert claim_all(store, "three") == []


def test_a_delay_is_longer_by_the_jump_and_no_more(clocked):
    store = get_store()
    queued_job(store, store.users.enrol("ada", new_group), attempts=2)
    job = claim(store).info
    store.jobs.change(job.id, lambda info: info.requeued(State.FAILED, "x"), delay=HOUR)
    clocked.jump(-HOUR)
    assert store.queue.due() == []
    clocked.jump(HOUR + 60)
    assert [attempt.id for attempt in store.queue.due()] == [job.id]


@pytest.mark.parametrize("name", ["attempts", "call", "claim", "claim_by_id", "leave", "queue"])
def test_no_script_that_hands_out_work_asks_for_the_time(name):
    code = re.sub(r"--.*", "", (PACKAGE / "store" / "lua" / f"{name}.lua").read_text())
    assert "TIME" not in code and "server_time" not in code
