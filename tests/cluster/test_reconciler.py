"""Engines, controllers and submitters are killed: every job comes to a true end."""

import threading
import time
from dataclasses import replace

import cloudpickle
import psutil
import pytest

from moi_django import Group, Options, submit_nouser
from moi_django.cluster import connections
from moi_django.cluster import reconciler as reconciler_module
from moi_django.cluster.payloads import sign_payload
from moi_django.cluster.reconciler import Reconciler
from moi_django.engine.payloads import Payload
from moi_django.engine.pickling import PYTHON_VERSION
from moi_django.models import State
from moi_django.site_store import get_store as site_store
from moi_django.store.queue import QueuedAttempt
from tests.helpers.held_job import Held
from tests.helpers.processes import manage, wait_for
from tests.helpers.records import new_job
from tests.site import work

# What is promised is tested with the lease that is the default.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("short_lease")]
SOON = 30


def uncalled(store, function, *args, python=PYTHON_VERSION):
    """Do what `submit` has done when its process dies before it calls a worker."""
    info = new_job(Group.of("no-user").info, context="default", python=python)
    payload = Payload(cloudpickle.dumps((function, args, {})), Options(), "default", python)
    store.jobs.create(info, sign_payload(info, payload))
    return info


def end_of(store, info, within=SOON):
    """Wait for the end of a job and return its info."""
    end = time.monotonic() + within
    with store.jobs.listen(info.id) as heard:
        while not (present := store.jobs.get(info.id)).finished:
            assert time.monotonic() < end, f"job {info.id} has no end after {within} s: {present}"
            heard(1.0)
    return present


def test_a_job_whose_engine_is_killed_is_lost_within_15_s(
    moi, own_cluster, reconciler, site_env, monkeypatch
):
    """Its submitter is gone, too."""
    monkeypatch.undo()
    del moi["LEASE"]
    store = site_store()
    own_cluster(1)
    file = connections.connection_file("default")
    code = "import os, time; status_update(str(os.getpid())); time.sleep(600)"
    ran = manage("moi", "submit", "--cmd", code, **site_env, MOI_CONNECTION_FILE=str(file))
    info = store.jobs.get(ran.stdout.split()[-1])
    pid = wait_for(lambda: (now := store.jobs.get(info.id)).status.isdecimal() and int(now.status))
    psutil.Process(pid).parent().parent().kill()
    info = end_of(store, info, within=15)
    assert (info.state, info.status) == (State.LOST, "Failed")
    assert info.result == "The engine that ran this job is gone."
    assert info.date_end is not None
    wait_for(lambda: reconciler, "the reconciler's word")  # which it says when that is done
    assert reconciler == [f"job {info.id} lost its engine"]
    # It can be retried.
    assert store.jobs.payload(info.id) is not None
    assert not psutil.pid_exists(pid)


def test_without_a_reconciler_its_submitter_notices(own_cluster, tmp_path):
    own_cluster(1)
    held = Held(tmp_path, "held")
    held.engine.kill()
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
    infos = [uncalled(store, work.note, str(noted)) for _ in range(20)]
    for info in infos:
        assert end_of(store, info).state is State.SUCCESS
    assert noted.read_text() == "ran\n" * 20


def test_several_reconcilers_run_a_job_once(cluster, tmp_path, store):
    noted = tmp_path / "noted"
    infos = [uncalled(store, work.note, str(noted)) for _ in range(20)]
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


def test_calls_that_are_lost_are_made_again(cluster, request, tmp_path, store, monkeypatch):
    monkeypatch.setattr(reconciler_module, "CALL_PATIENCE", 1.0)
    info = uncalled(store, work.note, str(tmp_path / "noted"))
    # As many as there are engines, and none of them arrives.
    assert len(store.queue.note_calls(info.queue, 1, 9, "call:lost")) == 1
    other = uncalled(store, work.note, str(tmp_path / "noted"))
    assert store.queue.note_calls(info.queue, 2, 9, "call:lost, too") == ["call:lost, too:1"]
    request.getfixturevalue("reconciler")
    for each in (info, other):
        assert end_of(store, each).state is State.SUCCESS


def test_without_a_cluster_a_job_waits_and_says_so(
    own_cluster, reconciler, store, tmp_path, caplog
):
    job = submit_nouser(work.triple, 2)
    assert job.status == "Queued"
    wait_for(lambda: job.refresh().status == "Waits for an engine of 'default'")
    own_cluster(1)
    assert job.value(SOON) == 6
    assert "there is no ipcontroller-client.json" in caplog.text


def test_a_job_of_another_python_waits_and_says_so(cluster, reconciler, store):
    job = uncalled(store, work.triple, 1, python="2.7")
    # Nobody knows of an engine's Python before it has worked.
    assert submit_nouser(work.triple, 1).value(SOON) == 3
    said = "Waits for an engine with Python 2.7"
    wait_for(lambda: store.jobs.get(job.id).status == said)
    assert store.jobs.cancel(job.id)[1]


@pytest.mark.parametrize("harm", ["changed", "of another job", "gone", "nonsense"])
def test_a_function_that_is_not_signed_for_the_job_is_refused(
    cluster, tmp_path, store, harm, reconciler
):
    noted = tmp_path / "noted"
    info, other = (
        new_job(Group.of("no-user").info, context="default"),
        new_job(Group.of("no-user").info),
    )
    info = replace(info, python=PYTHON_VERSION)
    payload = Payload(cloudpickle.dumps((work.note, (str(noted),), {})), Options(), "default")
    signed = {
        "changed": sign_payload(info, payload)[:-1] + b"?",
        "of another job": sign_payload(other, payload),
        "gone": sign_payload(info, payload),
        "nonsense": b"\x00",
    }[harm]
    pipeline = store.connection.redis.pipeline()
    if harm == "gone":
        held = [Held(tmp_path, f"busy{number}") for number in range(2)]
        assert all(each.pid for each in held)
        store.jobs.create(info, signed)
        pipeline.delete(store.keys.payload(info.id)).execute()
        for each in held:
            each.gate.touch()
    else:
        store.jobs.create(info, signed)
    info = end_of(store, info)
    assert info.state is State.FAILED
    assert ("is not kept" if harm == "gone" else "not signed by this site") in info.result
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
    engine = held.engine
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
    assert job.value(SOON) == 0
    assert job.info.attempt == 1


def test_an_engine_needs_no_controller_to_go_on(own_cluster, tmp_path, store, reconciler):
    started = own_cluster(1)
    held = Held(tmp_path, "held")
    assert held.pid
    hub = psutil.Process(started.controller.process.pid)
    hub.suspend()
    try:
        lease = store.queue.running()[QueuedAttempt(held.job.id, 1)]
        over = time.monotonic() + 2 * store.config.lease
        wait_for(lambda: time.monotonic() > over)
        assert store.queue.running()[QueuedAttempt(held.job.id, 1)] > lease
        held.gate.touch()
        assert held.job.value(SOON) == "released"
    finally:
        hub.resume()


def test_a_job_that_its_engine_runs_no_more_is_lost(cluster, reconciler, store):
    """Such as one whose end could not be written in time."""
    job = submit_nouser(work.triple, 1).wait(SOON)
    stuck = new_job(Group.of("no-user").info, context="default")
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


@pytest.mark.parametrize("limit", [None, 1])
def test_a_limit_that_was_said_of_an_owner_goes_with_who_said_it(engine, moi, limit):
    moi["OWNER_LIMIT"] = lambda owner, context: 0
    job = submit_nouser(work.triple, 1)
    reconciler = Reconciler()
    reconciler.reconcile()
    assert job.refresh().state is State.QUEUED
    moi["OWNER_LIMIT"] = limit
    reconciler.reconcile()
    assert job.value(SOON) == 3


def test_the_command_looks_once(own_cluster, site_env, store, tmp_path):
    own_cluster(1)
    site_env["MOI_CONNECTION_FILE"] = str(connections.connection_file("default"))
    info = uncalled(store, work.triple, 1)
    ran = manage("moi", "reconcile", "--once", **site_env)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert end_of(store, info).result == 3
    held = Held(tmp_path, "held")
    engine = held.engine
    connections.close_connections()  # nobody else is to notice
    engine.kill()
    ran = manage("moi", "reconcile", "--once", **site_env, MOI_TEST_LEASE="4")
    said = f"job {held.job.id} lost its engine\n"
    logged = f"Job {held.job.id} got lost: The engine that ran this job is gone.\n"
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, said, logged)
    assert held.job.refresh().state is State.LOST


def test_two_payloads_of_equal_jobs_are_not_exchangeable(store):
    one, other = (uncalled(store, abs, -1) for _ in range(2))
    assert store.jobs.payload(one.id) != store.jobs.payload(other.id)
