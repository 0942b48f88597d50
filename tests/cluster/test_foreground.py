"""A developer debugs a job: on an engine it says how, and in the foreground it can be stopped."""

import subprocess
import sys

import pytest

from moi_django import Options, submit_nouser
from moi_django.models import State
from tests.helpers.processes import environment, manage, wait_for
from tests.site import work

pytestmark = pytest.mark.django_db(transaction=True)
SOON = 30


@pytest.fixture
def failed(cluster):
    return submit_nouser(work.halves, 4, options=Options()).wait(SOON)


def run_here(job, typed, **env):
    return subprocess.run(
        [sys.executable, "-m", "django", "moi", "run", f"--job-id={job.id}"],
        input=typed,
        env=environment(**env),
        capture_output=True,
        text=True,
        timeout=SOON,
    )


def test_a_breakpoint_on_an_engine_says_how_to_debug(failed, store):
    assert failed.state is State.FAILED
    assert "ZeroDivisionError" in failed.result
    [entry] = store.logs.open(failed.id).read_all()
    assert entry.piece.stream == "stderr"
    assert entry.piece.text == (
        "breakpoint() cannot stop a job on an engine: to debug this one, run "
        f"`python manage.py moi run --job-id {failed.id}` in a terminal.\n"
    )


def test_a_job_is_run_here_and_nothing_is_written(failed, store, site_env):
    wait_for(
        lambda: not store.queue.workers(failed.info.queue), "the end of the engine's lingering"
    )
    before = held(store)
    ran = run_here(failed, "p number * 1000\nnumber = 6\ncontinue\n", **site_env)
    assert ran.returncode == 0, ran.stderr
    assert "(Pdb) 4000\n" in ran.stdout
    assert ran.stdout.endswith("[3, 0.5]\n")
    assert ran.stderr == "status: halving\n"
    after = held(store)
    # The engine goes on for a while to say how it is.
    for key in (store.keys.engines, store.keys.engine(failed.info.engine)):
        assert after.pop(key.encode()) and before.pop(key.encode())
    assert after == before


def held(store):
    """Return all keys of the site with what they hold."""
    keys = store.connection.redis.scan_iter(f"{store.config.prefix}*")
    return {key: store.connection.redis.dump(key) for key in keys}


def test_an_error_is_a_traceback_of_the_function(failed, site_env):
    ran = run_here(failed, "continue\n", **site_env)
    assert ran.returncode == 1
    assert ran.stderr.startswith("status: halving\nTraceback (most recent call last):\n")
    assert ran.stderr.endswith("ZeroDivisionError: division by zero\n")
    assert "moi_django" not in ran.stderr


def test_who_leaves_the_debugger_is_told_no_more(failed, site_env):
    ran = run_here(failed, "quit\n", **site_env)
    assert (ran.returncode, ran.stderr) == (1, "status: halving\n")


def test_a_job_whose_function_is_gone_says_so(cluster, site_env):
    job = submit_nouser(work.triple, 1).wait(SOON)
    ran = manage("moi", "run", f"--job-id={job.id}", **site_env)
    assert ran.returncode == 1
    assert ran.stderr.startswith(f"The function of job {job.id} is not kept")
    assert manage("moi", "run", "--job-id=x", **site_env).stderr == "Does not look like a job id\n"


def test_a_job_that_was_retried_says_where_its_function_is(failed, site_env):
    retried = failed.retry().wait(SOON)
    ran = run_here(failed, "", **site_env)
    assert ran.returncode == 1
    assert f"was retried, as {retried.id}, which has its function now" in ran.stderr
