"""Engines, controllers and submitters are killed: every job comes to a true end."""

import os
import signal
import threading
import time

import cloudpickle
import psutil
import pytest

from moi_django import Group, Options, submit_nouser
from moi_django.cluster import connections, dispatch
from moi_django.cluster import reconciler as reconciler_module
from moi_django.cluster.payloads import Payload
from moi_django.cluster.reconciler import Reconciler
from moi_django.models import State
from moi_django.site_store import get_store as site_store
from tests.helpers.held_job import Held
from tests.helpers.processes import manage, wait_for
from tests.helpers.records import new_job
from tests.site import work

pytestmark = pytest.mark.django_db(transaction=True)
SOON = 30


@pytest.fixture(autouse=True)
def lease(moi):
    """A short one, so that tests do not wait; what is promised is tested with the default."""
    moi["LEASE"] = 2.0
    return moi


def unsent(store, function, *args, options=None, attempts=1):
    """Do what `submit` has done when its process dies before it sends a job."""
    info = new_job(Group.of("no-user").info, context="default", attempts=attempts)
    payload = Payload(cloudpickle.dumps((function, args, {})), options or Options(), "default")
    store.jobs.create(info, payload.sign(info.id))
    return info


def end_of(store, info, within=SOON):
    """Wait for the end of a job and return its info."""
    end = time.monotonic() + within
    with store.jobs.listen(info.id) as heard:
        while not (present := store.jobs.get(info.id)).finished:
            assert time.monotonic() < end, f"job {info.id} has no end after {within} s: {present}"
            heard(1.0)
    return present


def test_a_job_whose_engine_is_killed_is_lost_within_15_s(own_cluster, reconciler, site_env, lease):
    """Its submitter is gone, too."""
    del lease["LEASE"]
    store = site_store()
    own_cluster(1)
    file = connections.connection_file("default")
    code = "import os, time; status_update(str(os.getpid())); time.sleep(600)"
    ran = manage("moi", "submit", "--cmd", code, **site_env, MOI_CONNECTION_FILE=str(file))
    info = store.jobs.get(ran.stdout.split()[-1])
    pid = wait_for(lambda: (now := store.jobs.get(info.id)).status.isdecimal() and int(now.status))
    os.kill(pid, signal.SIGKILL)
    info = end_of(store, info, within=15)
    assert (info.state, info.status) == (State.LOST, "Failed")
    assert info.result == "The engine that ran this job is gone."
    assert info.date_end is not None
    wait_for(lambda: reconciler, "the reconciler's word")  # which it says when that is done
    assert reconciler == [f"job {info.id} lost its engine"]
    # It can be retried.
    assert store.jobs.payload(info.id) is not None


def test_without_a_reconciler_its_submitter_notices(own_cluster, tmp_path):
    own_cluster(1)
    held = Held(tmp_path, "held")
    os.kill(held.pid, signal.SIGKILL)
    assert held.job.wait(SOON).state is State.LOST


def test_a_lost_job_is_run_again_when_it_asked_for_it(own_cluster, reconciler, tmp_path):
    own_cluster(2)
    options = Options(retries=1, retry_on_lost=True, backoff=0)
    job = submit_nouser(work.dies_until, str(tmp_path / "runs"), 1, options=options)
    assert job.value(SOON) == 2
    assert job.info.attempt == 2


def test_a_lost_job_is_not_run_again_when_only_failures_are(own_cluster, reconciler, tmp_path):
    own_cluster(2)
    runs = tmp_path / "runs"
    job = submit_nouser(work.dies_until, str(runs), 1, options=Options(retries=3, backoff=0))
    assert job.wait(SOON).state is State.LOST
    assert submit_nouser(work.triple, 1).value(SOON) == 3
    assert runs.read_text() == "ran\n"


def test_jobs_of_a_submitter_that_died_are_run(cluster, reconciler, tmp_path, store):
    noted = tmp_path / "noted"
    infos = [unsent(store, work.note, str(noted)) for _ in range(20)]
    for info in infos:
        assert end_of(store, info).state is State.SUCCESS
    assert noted.read_text() == "ran\n" * 20


def test_several_reconcilers_run_a_job_once(cluster, tmp_path, store):
    noted = tmp_path / "noted"
    infos = [unsent(store, work.note, str(noted)) for _ in range(20)]
    stop = threading.Event()
    threads = [threading.Thread(target=Reconciler().run_until, args=[stop]) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for info in infos:
            assert end_of(store, info).state is State.SUCCESS
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert noted.read_text() == "ran\n" * 20


def test_a_job_that_is_sent_many_times_runs_once(cluster, tmp_path, store):
    held = [Held(tmp_path, f"busy{number}") for number in range(2)]
    assert all(each.pid for each in held)
    noted = tmp_path / "noted"
    info = unsent(store, work.note, str(noted))
    for _ in range(5):
        assert dispatch.resend_attempt(
            store.queue.find_attempt(info, store.keys.waiting("default"))
        )
    for each in held:
        each.gate.touch()
    assert end_of(store, info).state is State.SUCCESS
    # Behind them in the scheduler's queue.
    assert submit_nouser(work.triple, 1).value(SOON) == 3
    assert noted.read_text() == "ran\n"


def test_a_job_that_starts_while_it_is_sent_again_goes_on(cluster, tmp_path, store):
    held = Held(tmp_path, "held")
    running = store.queue.find_attempt(
        wait_for(lambda: held.pid and held.job.refresh().info), store.keys.running
    )
    # What somebody reads who is a moment too late.
    dispatch._fail_refused(held.job.info.changed(state=State.QUEUED), "too late")
    assert running and held.job.refresh().state is State.RUNNING
    held.gate.touch()
    assert held.job.value(SOON) == "released"


def test_of_two_who_want_to_send_a_job_one_does(cluster, tmp_path, store):
    info = unsent(store, work.note, str(tmp_path / "noted"))
    attempt = store.queue.find_attempt(info, store.keys.waiting("default"))
    assert [dispatch.resend_attempt(attempt), dispatch.resend_attempt(attempt)] == [True, False]


@pytest.mark.parametrize("harm", ["changed", "of another job", "gone", "nonsense"])
def test_a_function_that_is_not_signed_for_the_job_is_refused(
    cluster, tmp_path, store, harm, caplog
):
    noted = tmp_path / "noted"
    info, other = (unsent(store, work.note, str(noted)) for _ in range(2))
    signed = {
        "changed": store.jobs.payload(info.id).replace(".", ".AAAA", 1),
        "of another job": store.jobs.payload(other.id),
        "gone": None,
        "nonsense": "\x00",
    }[harm]
    if signed is None:
        store.connection.redis.delete(store.keys.payload(info.id))
    else:
        store.connection.redis.set(store.keys.payload(info.id), signed)
    assert (
        dispatch.resend_attempt(store.queue.find_attempt(info, store.keys.waiting("default")))
        is False
    )
    info = store.jobs.get(info.id)
    assert info.state is State.FAILED
    assert ("is not kept" if harm == "gone" else "not signed by this site") in info.result
    assert info.id in caplog.text
    assert store.queue.find_attempt(info, store.keys.waiting("default")) is None
    assert not noted.exists()


def test_queued_jobs_survive_a_controller_that_is_killed(own_cluster, reconciler, tmp_path, store):
    """And so do those of its engines that run on: within 30 s of its successor's start."""
    first = own_cluster(1)
    held = Held(tmp_path, "held")
    assert held.pid
    queued = [submit_nouser(work.note, str(tmp_path / "noted")) for _ in range(5)]
    hub = psutil.Process(first.controller.process.pid)
    for process in [*hub.children(recursive=True), hub]:
        process.kill()
    held.gate.touch()
    assert held.job.value(SOON) == "released"
    own_cluster(1)
    started = time.monotonic()
    for job in queued:
        assert job.value(30 - (time.monotonic() - started)) == "noted"
    assert (tmp_path / "noted").read_text() == "ran\n" * 5


def test_an_engine_that_was_given_up_cannot_change_what_was_decided(
    own_cluster, reconciler, tmp_path
):
    own_cluster(2)
    held = Held(tmp_path, "held")
    options = Options(retries=1, retry_on_lost=True, backoff=0)
    engine = psutil.Process(held.pid)
    engine.suspend()
    try:
        assert held.job.wait(2 * SOON).state is State.LOST
    finally:
        engine.resume()
    # Back again it finds that its job is not wanted.
    assert held.ending() == "interrupted"
    assert held.job.refresh().state is State.LOST
    assert submit_nouser(work.triple, 1, options=options).value(SOON) == 3


def test_a_function_that_keeps_the_interpreter_is_not_taken_for_lost(cluster, reconciler, store):
    job = submit_nouser(work.keeps_the_interpreter, 5)
    wait_for(lambda: any(attempt.id == job.id for attempt in store.queue.overdue()))
    assert job.value(SOON) == 0
    assert job.info.attempt == 1


def test_a_controller_that_is_silent_for_a_while_loses_no_job(
    own_cluster, moi, tmp_path, store, monkeypatch
):
    moi["CLUSTER_TIMEOUT"] = 0.2
    started = own_cluster(1)
    held = Held(tmp_path, "held")
    engine = psutil.Process(held.pid)
    hub = psutil.Process(started.controller.process.pid)
    reconciler = Reconciler()
    for process in (hub, engine):
        process.suspend()
    try:
        wait_for(lambda: any(attempt.id == held.job.id for attempt in store.queue.overdue()))
        reconciler.reconcile()
        assert held.job.refresh().state is State.RUNNING
        monkeypatch.setattr(reconciler_module, "CONTROLLER_SILENCE", 0.0)
        reconciler.reconcile()
        assert held.job.refresh().state is State.LOST
    finally:
        for process in (hub, engine):
            process.resume()


def test_a_job_that_its_engine_runs_no_more_is_lost(cluster, reconciler, store):
    """Such as one whose end could not be written in time."""
    job = submit_nouser(work.triple, 1).wait(SOON)
    stuck = new_job(
        Group.of("no-user").info,
        context="default",
        state=State.QUEUED,
    )
    store.jobs.create(stuck)
    store.jobs.change(
        stuck.id, lambda info: info.changed(state=State.RUNNING, engine=job.info.engine)
    )
    assert end_of(store, stuck).state is State.LOST


def test_after_a_restart_of_redis_engines_have_time_to_renew_their_leases(
    own_redis, cluster, tmp_path, reconciler, store
):
    held = Held(tmp_path, "held")
    assert held.pid
    own_redis.kill()
    own_redis.start()
    time_up = time.monotonic() + store.config.lease + 4
    wait_for(lambda: time.monotonic() > time_up)
    assert held.job.refresh().state is State.RUNNING
    held.gate.touch()
    assert held.job.value(SOON) == "released"


def test_the_command_looks_once(own_cluster, site_env, store, tmp_path):
    own_cluster(1)
    file = str(connections.connection_file("default"))
    info = unsent(store, work.fails_until, str(tmp_path / "runs"), 0)
    store.queue.arrive("default", store.connection.server_time() + 10)
    ran = manage("moi", "reconcile", "--once", **site_env, MOI_CONNECTION_FILE=file)
    assert ran.stdout == (f"job {info.id} was not with the scheduler and is sent again\n"), (
        ran.stderr
    )
    assert end_of(store, info).result == 1
    ran = manage("moi", "reconcile", "--once", **site_env, MOI_CONNECTION_FILE=file)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_two_payloads_of_equal_jobs_are_not_exchangeable(store):
    one, other = (unsent(store, abs, -1) for _ in range(2))
    assert store.jobs.payload(one.id) != store.jobs.payload(other.id)
