"""However an attempt ends, its job says how, what it has used, and the engine takes the next."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest

from moi_django import Options, submit_nouser
from moi_django.models import State
from tests.helpers import odd_jobs
from tests.helpers.job_processes import is_alive
from tests.helpers.processes import manage, wait_for
from tests.site import work

pytestmark = pytest.mark.django_db(transaction=True)
SOON = 30
GRACE = 0.5
# One of them has to be in time: the machine may pause in another.
RUNS = (1, 2, 3)


@pytest.mark.parametrize(
    ("function", "args", "told"),
    [
        (odd_jobs.end_with_signal, (signal.SIGSEGV,), "The job was killed by signal 11 (SIGSEGV)."),
        (os._exit, (3,), "The job ended with exit code 3 and no result."),
        (os._exit, (0,), "The job ended with exit code 0 and no result."),
        (sys.exit, (3,), "The job called sys.exit(3)."),
        (odd_jobs.run_click, (), "The job called sys.exit(2)."),
    ],
    ids=["SIGSEGV", "exit 3", "exit 0", "sys.exit", "click"],
)
def test_a_job_that_ends_itself_has_failed_and_says_how(engine, function, args, told):
    job = submit_nouser(function, *args).wait(SOON)
    assert (job.state, job.result.splitlines()[-1]) == (State.FAILED, told)
    assert submit_nouser(work.triple, 1).wait(SOON).info.engine == job.info.engine


@pytest.mark.parametrize(("function", "args"), [(sys.exit, (0,)), (odd_jobs.run_click, ("Ada",))])
def test_to_leave_without_a_complaint_is_success(engine, function, args):
    assert submit_nouser(function, *args).value(SOON) is None


def test_a_job_that_is_killed_tells_how_much_memory_it_had(engine):
    job = submit_nouser(work.in_turn, lambda: b"x" * 200_000_000, lambda: os.kill(os.getpid(), 9))
    result = job.wait(SOON).result
    assert result.startswith("The job was killed by signal 9 (SIGKILL): out of memory? It had up")
    assert 200e6 < job.info.peak_memory < 500e6
    assert f"{job.info.peak_memory / 1e6:,.0f} MB" in result


def test_what_it_printed_last_is_told(engine):
    job = submit_nouser(odd_jobs.print_and_leave, 3).wait(SOON)
    assert job.result.startswith("It printed last:\nso far so good\n")


def test_each_run_says_what_it_has_used(engine, reconciler, site_env, tmp_path):
    options = Options(retries=2, backoff=0)
    job = submit_nouser(work.works_and_fails, str(tmp_path / "runs"), 2, options=options)
    assert job.value(SOON) == 3
    ran = manage("moi", "job", f"--job-id={job.id}", "--json", **site_env)
    told = json.loads(ran.stdout)
    assert told["cpu_seconds"] == job.info.cpu_seconds
    assert [run["attempt"] for run in told["runs"]] == [1, 2]
    for used in (told, *told["runs"]):
        assert 0.2 < used["cpu_seconds"] < 10
        assert 100e6 < used["peak_memory"] < 1e9


def test_a_job_above_its_memory_limit_is_ended(engine, moi):
    moi["MEMORY_LIMIT"] = 300_000_000
    assert submit_nouser(work.triple, 1).value(SOON) == 3
    for function in (odd_jobs.use_memory, odd_jobs.spawn_memory):
        job = submit_nouser(function, 400_000_000).wait(SOON)
        assert job.state is State.FAILED
        assert job.result.startswith("MemoryError: the job used ")
        assert job.result.endswith("bytes of memory; its limit is 300,000,000.")
    assert submit_nouser(work.triple, 1).value(SOON) == 3


def test_memory_that_several_processes_of_a_job_share_counts_once(engine, moi):
    moi["MEMORY_LIMIT"] = 500_000_000
    assert submit_nouser(work.share_memory, 200_000_000, 4).value(SOON) == 200_000_000


@pytest.mark.parametrize("function", [odd_jobs.search, odd_jobs.block_signals])
def test_what_heeds_no_signal_is_timed_out(engine, moi, function):
    moi["CANCEL_GRACE"] = GRACE

    def is_in_time(number):
        job = submit_nouser(function, options=Options(timeout=0.5)).wait(SOON)
        next_job = submit_nouser(work.triple, 1).wait(SOON)
        assert job.state is State.FAILED
        assert job.result.endswith("TimeoutError: the job took longer than its 0.5 s.")
        ran = job.info.ran_seconds()
        assert ran >= 0.5
        return ran < 0.5 + GRACE + 2 and next_job.info.waited_seconds() < 1

    assert any(map(is_in_time, RUNS))


@pytest.mark.parametrize("function", [odd_jobs.search, odd_jobs.block_signals])
def test_what_heeds_no_signal_is_cancelled(engine, moi, function):
    moi["CANCEL_GRACE"] = GRACE

    def is_in_time(number):
        job = submit_nouser(function)
        wait_for(lambda: job.refresh().state is State.RUNNING)
        assert job.cancel()
        next_job = submit_nouser(work.triple, 1).wait(SOON)
        assert job.refresh().state is State.CANCELLED
        return next_job.info.waited_seconds() < GRACE + 2

    assert any(map(is_in_time, RUNS))


@pytest.mark.parametrize("is_cancelled", [True, False], ids=["cancel", "timeout"])
def test_the_forks_of_a_job_end_with_it(engine, moi, tmp_path, is_cancelled):
    moi["CANCEL_GRACE"] = GRACE

    def is_in_time(number):
        path, timeout = tmp_path / f"pids-{number}", None if is_cancelled else number
        job = submit_nouser(work.fork_and_hold, str(path), options=Options(timeout=timeout))
        wait_for(lambda: pids_in(path, 2) or job.refresh().finished)
        if not (pids := pids_in(path, 2)):
            return False  # its time was up before both were there
        begun = time.monotonic()
        if is_cancelled:
            assert job.cancel()
        assert submit_nouser(work.triple, 1).value(SOON) == 3
        took = time.monotonic() - begun
        assert not any(map(is_alive, pids))
        return took < (timeout or 0) + GRACE + 2

    assert any(map(is_in_time, RUNS))


def test_an_engine_that_is_killed_takes_all_it_has_started_with_it(own_cluster, tmp_path):
    own_cluster(1)
    path = str(tmp_path / "pid")
    submit_nouser(work.in_turn, lambda: odd_jobs.leave_daemon(path), odd_jobs.block_signals)
    [daemon] = wait_for(lambda: pids_in(Path(path), 1), "a daemon")
    job_process = psutil.Process(daemon).parent()
    engine = job_process.parent().parent()
    pids = [each.pid for each in engine.children(recursive=True)]
    assert {daemon, job_process.pid} < set(pids)
    engine.kill()
    wait_for(lambda: not any(map(is_alive, pids)))


def pids_in(path, count):
    """Return the ids that were written into a file, once there are so many."""
    written = path.read_text().split() if path.exists() else []
    return len(written) == count and list(map(int, written))
