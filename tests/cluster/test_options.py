"""How often and how long a job is run."""

import time
from fractions import Fraction
from pathlib import Path

import numpy
import pytest

from moi_django import Options, ctx_default, submit, submit_nouser
from moi_django.exceptions import InvalidJob
from moi_django.models import State
from tests.helpers.held_job import Held
from tests.helpers.processes import manage, wait_for
from tests.site import work

pytestmark = pytest.mark.django_db(transaction=True)
SOON = 30
NOW = Options(retries=2, backoff=0)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"retries": -1}, "retries is -1"),
        ({"retries": 1.5}, "retries is 1.5"),
        ({"retries": "3"}, "retries is '3'"),
        ({"backoff": -1}, "backoff is -1"),
        ({"backoff": float("nan")}, "backoff is nan"),
        ({"timeout": 0}, "timeout is 0"),
        ({"timeout": "1"}, "timeout is '1'"),
        ({"retry_on_lost": True}, "retry_on_lost needs retries"),
        ({"retries": float("inf")}, "retries is inf"),
        ({"retries": 10**400}, "retries is 1000"),
        ({"retries": True}, "retries is True"),
        ({"backoff": float("inf")}, "backoff is inf"),
        ({"timeout": float("inf")}, "timeout is inf"),
        ({"timeout": -(10**400)}, "timeout is -1000"),
    ],
)
def test_options_that_make_no_sense_say_so(given, said):
    with pytest.raises(InvalidJob, match=said):
        Options(**given)


def test_numbers_of_any_kind_are_taken():
    options = Options(retries=numpy.int64(2), backoff=Fraction(1, 2), timeout=numpy.float32(1.5))
    assert (options.retries, options.backoff, options.timeout) == (2, 0.5, 1.5)
    assert [type(each) for each in (options.retries, options.backoff, options.timeout)] == [
        *(int, float, float),
    ]


def test_pauses_double_up_to_an_hour():
    options = Options(retries=9, backoff=2)
    assert [options.backoff_seconds(attempt) for attempt in (1, 2, 3, 4)] == [2, 4, 8, 16]
    assert options.backoff_seconds(1000) == 3600


def test_a_job_that_fails_is_run_again(cluster, reconciler, tmp_path, store):
    job = submit_nouser(work.fails_until, str(tmp_path / "runs"), 2, options=NOW)
    assert job.value(SOON) == 3
    assert (job.info.attempt, job.info.attempts) == (3, 3)
    assert store.jobs.payload(job.id) is None


def test_the_output_says_where_a_run_begins(cluster, reconciler, tmp_path, store):
    job = submit_nouser(work.prints_until, str(tmp_path / "runs"), 2, options=NOW)
    assert job.value(SOON) == 3
    said = "".join(entry.piece.text for entry in store.logs.open(job.id).read_all())
    assert said == "it runs\nRun 2 of 3\nit runs\nRun 3 of 3\nit runs"
    silent = submit_nouser(work.fails_until, str(tmp_path / "others"), 2, options=NOW)
    assert silent.value(SOON) == 3
    assert store.logs.open(silent.id).read_after() == []


def test_after_the_last_attempt_it_has_failed(cluster, reconciler, tmp_path):
    job = submit_nouser(work.fails_until, str(tmp_path / "runs"), 9, options=NOW).wait(SOON)
    assert (job.state, job.info.attempt) == (State.FAILED, 3)
    assert job.result.endswith("ValueError: run 3 fails")
    assert (tmp_path / "runs").read_text() == "ran\n" * 3
    assert [(run.attempt, run.state, run.error) for run in job.info.runs] == [
        (1, State.FAILED, "ValueError: run 1 fails"),
        (2, State.FAILED, "ValueError: run 2 fails"),
    ]
    dates = [date for run in job.info.runs for date in (run.date_start, run.date_end)]
    assert [*dates, job.info.date_start, job.info.date_end] == sorted(
        [*dates, job.info.date_start, job.info.date_end]
    )


def test_between_two_runs_it_is_queued_and_tells_why(cluster, tmp_path, store):
    options = Options(retries=1, backoff=1000)
    job = submit_nouser(work.fails_until, str(tmp_path / "runs"), 1, options=options)
    wait_for(lambda: job.refresh().info.attempt == 2)
    assert (job.state, job.status, job.info.date_start) == (State.QUEUED, "Queued", None)
    assert job.result.endswith("ValueError: run 1 fails")
    at = store.connection.redis.zscore(store.keys.delayed, f"2:{job.id}")
    assert 990 < at - store.connection.server_time() <= 1000
    assert store.queue.due() == []
    assert job.cancel()
    assert store.queue.delayed_count() == 0


def timed_out(function, directory):
    """Return a job that was in the function when its time was up, and a file of what it told.

    On a machine that pauses that may need more time.
    """
    for timeout in (0.3, 3, 10):
        gate, told = str(directory / "gate"), directory / f"told-{timeout}"
        job = submit_nouser(function, gate, str(told), options=Options(timeout=timeout)).wait(SOON)
        said = f"TimeoutError: the job took longer than its {timeout} s."
        if Path(f"{told}.pid").exists():
            return job, said, told
    raise AssertionError("it never was there")


def test_a_job_that_takes_too_long_is_interrupted(cluster, tmp_path):
    job, said, told = timed_out(work.held, tmp_path)
    assert (job.state, job.status) == (State.FAILED, "Failed")
    assert "in held" in job.result
    assert job.result.endswith(said)
    assert told.read_text() == "interrupted"


def test_a_stubborn_job_that_takes_too_long_is_killed(cluster, moi, tmp_path):
    moi["CANCEL_GRACE"] = 0.5
    job, said, _ = timed_out(work.stubborn, tmp_path)
    assert (job.state, job.result) == (State.FAILED, said)


def test_a_timeout_does_not_reach_the_next_job(cluster):
    """However close the end of a job and its timeout are, only this job is interrupted."""
    for number in range(40):
        jobs = [
            submit_nouser(time.sleep, 0.02, options=Options(timeout=0.02 + 0.0002 * number)),
            submit_nouser(work.triple, number),
        ]
        assert jobs[1].value(SOON) == 3 * number
        assert jobs[0].wait(SOON).state in (State.SUCCESS, State.FAILED)


def test_a_timeout_counts_as_a_failure(cluster, reconciler, tmp_path):
    options = Options(timeout=0.2, retries=1, backoff=0)
    gate, told = str(tmp_path / "gate"), str(tmp_path / "told")
    job = submit_nouser(work.held, gate, told, options=options).wait(SOON)
    assert (job.state, job.info.attempt) == (State.FAILED, 2)


def test_a_keyword_of_that_name_is_the_functions(cluster):
    assert submit_nouser(dict, options={"a": 1}).value(SOON) == {"options": {"a": 1}}


def test_a_cancelled_job_is_not_run_again(cluster, reconciler, tmp_path):
    held = Held.__new__(Held)
    held.gate, held.told = tmp_path / "gate", tmp_path / "told"
    held.job = submit(
        ctx_default, "ada", "held", None, work.held, str(held.gate), str(held.told), options=NOW
    )
    assert held.pid
    assert held.job.cancel()
    assert held.ending() == "interrupted"
    assert submit_nouser(work.fails_until, str(tmp_path / "runs"), 1, options=NOW).value(SOON) == 2
    assert (held.job.refresh().state, held.job.info.attempt) == (State.CANCELLED, 1)


def test_the_command_takes_options(cluster, reconciler, site_env, connection_file):
    ran = manage(
        *("moi", "submit", "--cmd", "import time; time.sleep(60)", "--timeout=0.2", "--block"),
        *("--retries=1", "--backoff=0.1"),
        **site_env,
        MOI_CONNECTION_FILE=connection_file,
    )
    assert "TimeoutError: the job took longer than its 0.2 s." in ran.stdout
    bad = manage(
        *("moi", "submit", "--cmd", "return 1", "--retries=-1"),
        **site_env,
        MOI_CONNECTION_FILE=connection_file,
    )
    assert (bad.returncode, bad.stdout) == (2, "")
    assert bad.stderr.startswith("retries is -1")
