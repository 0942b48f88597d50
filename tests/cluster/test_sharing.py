"""What shares: jobs a process where they ask for it, sites and others a cluster."""

import os
import time

import ipyparallel
import psutil
import pytest

from moi_django import Group, Options, ctx_default, submit, submit_nouser
from moi_django.cluster import dispatch
from moi_django.cluster.connections import get_connection
from moi_django.engine.process_pool import MAX_JOBS, MAX_KEPT
from moi_django.models import State
from tests.helpers import odd_jobs
from tests.helpers.processes import manage, wait_for
from tests.site import work

pytestmark = pytest.mark.django_db(transaction=True)
SOON = 60
WARM = Options(process="warm")


def count(owner="ada", process="warm"):
    """Run a job in a shared process; return the id of that, and how many jobs it has run."""
    options = Options(process=process)
    job = submit(ctx_default, owner, "counts", None, work.count_calls, options=options)
    return job.value(SOON)


def test_jobs_of_one_owner_share_a_process_and_what_is_in_it(engine):
    calls = [count() for _ in range(3)]
    assert [number for _, number in calls] == [1, 2, 3]
    assert len({pid for pid, _ in calls}) == 1


def test_an_owner_is_who_owns_the_tree(engine):
    pid, _ = count(owner=Group.create("ada", "one"))
    assert count(owner=Group.create("ada", "two")) == [pid, 2]


def test_other_owners_and_other_names_never_do(engine):
    pids = [count()[0], count(owner="bob")[0], count(process="cold")[0]]
    pids += [submit_nouser(work.count_calls).value(SOON)[0] for _ in range(2)]
    assert len(set(pids)) == 5
    assert count() == [pids[0], 2]


def test_a_job_that_fails_leaves_the_process_to_the_next(engine):
    pid, _ = count()
    failing = submit(ctx_default, "ada", "fails", None, work.interrupt, options=WARM)
    assert failing.wait(SOON).state is State.FAILED
    assert count() == [pid, 2]


def test_a_process_runs_so_many_jobs(engine, moi):
    jobs = [
        submit(ctx_default, "ada", "counts", None, work.count_calls, options=WARM)
        for _ in range(MAX_JOBS + 1)
    ]
    calls = [job.value(SOON) for job in jobs]
    assert [number for _, number in calls] == [*range(1, MAX_JOBS + 1), 1]
    assert len({pid for pid, _ in calls}) == 2


def test_so_many_processes_are_kept(engine):
    pids = [count(process=f"number {number}")[0] for number in range(MAX_KEPT + 1)]
    assert count(process="number 1") == [pids[1], 2]
    wait_for(lambda: not psutil.pid_exists(pids[0]))
    assert count(process="number 0")[1] == 1


def test_a_job_and_the_one_that_it_waits_for_are_not_in_one_process(engine, moi):
    job = submit(ctx_default, "ada", "waits", None, work.share_with_child, moi, options=WARM)
    one, other = job.value(SOON)
    assert one != other
    assert count()[0] in (one, other)


def test_a_crash_fails_one_job_and_the_next_has_a_new_process(engine):
    pid, _ = count()
    crash = submit(ctx_default, "ada", "crashes", None, os._exit, 3, options=WARM)
    behind = submit(ctx_default, "ada", "behind", None, work.count_calls, options=WARM)
    assert crash.wait(SOON).result == "The job ended with exit code 3 and no result."
    new, number = behind.value(SOON)
    assert new != pid and number == 1
    assert count() == [new, 2]


def test_a_process_that_dies_between_two_jobs_is_replaced(engine):
    pid, _ = count()
    psutil.Process(pid).kill()
    wait_for(lambda: not psutil.pid_exists(pid))
    for _ in range(2):  # the second is forked after its end was noted
        submit_nouser(work.triple, 1).value(SOON)
    assert count()[1] == 1


@pytest.mark.parametrize("is_timeout", [False, True], ids=["cancel", "timeout"])
def test_an_interrupt_does_not_reach_the_next_job(engine, tmp_path, is_timeout):
    options = Options(process="warm", timeout=0.3 if is_timeout else None)
    job = submit(ctx_default, "ada", "holds", None, odd_jobs.hold, options=options)
    behind = submit(ctx_default, "ada", "behind", None, time.sleep, 0.5, options=WARM)
    wait_for(lambda: job.refresh().state is not State.QUEUED)
    assert is_timeout or job.cancel()
    assert behind.wait(SOON).state is State.SUCCESS
    assert job.refresh().state is (State.FAILED if is_timeout else State.CANCELLED)


def test_what_ends_as_it_is_cancelled_does_not_harm_the_next(engine):
    """However close the end of a job and its cancel are."""
    for number in range(30):
        job = submit(ctx_default, "ada", "short", None, time.sleep, 0.01, options=WARM)
        behind = submit(ctx_default, "ada", "behind", None, time.sleep, 0.01, options=WARM)
        wait_for(lambda job=job: job.refresh().state is not State.QUEUED)
        time.sleep(0.0005 * number)
        job.cancel()
        assert behind.wait(SOON).state is State.SUCCESS


def test_what_one_leaves_running_does_not_last_longer_than_the_process(engine, tmp_path):
    path = tmp_path / "pid"
    job = submit(ctx_default, "ada", "leaves", None, odd_jobs.leave_daemon, str(path), options=WARM)
    assert job.value(SOON) is None
    daemon = int(path.read_text())
    crash = submit(ctx_default, "ada", "crashes", None, os._exit, 3, options=WARM)
    assert crash.wait(SOON).state is State.FAILED
    wait_for(lambda: not psutil.pid_exists(daemon))


@pytest.fixture
def busy(engine, moi):
    """A group with many jobs, of which one runs and the others wait for their engine."""
    moi["WORK_TURN"] = 0.5
    group = Group.create("ada", "many")
    jobs = [submit(ctx_default, group, f"{n}", None, time.sleep, 0.1) for n in range(300)]
    jobs[0].wait(SOON)
    yield jobs
    # Those that wait have their turn again.
    waiting = [job for job in jobs if job.refresh().state is State.QUEUED]
    assert waiting[0].value(SOON) is None
    group.cancel()


def test_two_sites_both_get_their_turn(engine, moi, busy, site_env):
    env = {**site_env, "MOI_TEST_PREFIX": f"{moi['KEY_PREFIX']}other-"}
    ran = manage(
        *("moi", "submit", "--cmd", "return 6 * 7", "--block"), **env, MOI_CONNECTION_FILE=engine
    )
    assert "42" in ran.stdout


def test_somebody_elses_task_gets_its_turn(engine, busy):
    with ipyparallel.Client(engine) as client:
        assert client.load_balanced_view().apply(abs, -3).get(SOON) == 3


def test_an_engine_that_could_not_work_is_called_again(engine, moi, store):
    with ipyparallel.Client(engine) as client:
        client[:].execute("import sys; program, sys.executable = sys.executable, '/bin/false'")
        moi["PRELOAD"] = ("json",)  # so that it needs a fork server of its own
        job = submit_nouser(len, "ab")
        wait_for(lambda: not store.queue.workers(job.info.queue), "the end of the call")
        client[:].execute("sys.executable = program", block=True)
    assert submit_nouser(len, "abc").value(SOON) == 3
    assert job.value(SOON) == 2


def test_a_job_is_called_for_when_the_engine_leaves_while_it_is_submitted(
    engine, moi, store, monkeypatch
):
    moi["LINGER"] = 1.0
    connection, sign = get_connection("default"), dispatch.sign_payload

    def sign_when_it_has_left(info, payload):
        wait_for(lambda: not store.queue.workers(info.queue))
        wait_for(lambda: connection.count_engines(info.queue) == (1, 1))
        connection._callbacks.submit(lambda: None).result(SOON)  # what follows from that is over
        return sign(info, payload)

    submit_nouser(len, "a").value(SOON)
    monkeypatch.setattr(dispatch, "sign_payload", sign_when_it_has_left)
    assert submit_nouser(len, "ab").value(SOON) == 2
