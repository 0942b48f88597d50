"""A job that did not come to its end goes on where it was, on real engines."""

from pathlib import Path

import pytest

from moi_django import Group, Options, ctx_default, submit, submit_nouser
from moi_django.models import State
from tests.helpers import resuming_jobs
from tests.helpers.processes import wait_for
from tests.helpers.redis_keys import everything

pytestmark = pytest.mark.django_db(transaction=True)
SOON = 30
AGAIN = Options(retries=1, backoff=0)


def noted(directory):
    return Path(directory / "noted").read_text().splitlines()


ONE_AFTER_THE_OTHER = [*(f"{n} in 1" for n in range(3)), *(f"{n} in 2" for n in range(3, 10))]


def kept(store, job):
    return store.connection.redis.get(store.keys.checkpoint(job.id))


def test_the_next_attempt_goes_on_where_the_last_was(cluster, reconciler, store, tmp_path):
    job = submit_nouser(resuming_jobs.work_through, str(tmp_path), 10, 3, options=AGAIN)
    assert job.value(SOON) == 10
    assert noted(tmp_path) == ONE_AFTER_THE_OTHER
    assert (job.info.done, job.info.total, job.info.attempt) == (10, 10, 2)
    assert not any("checkpoint" in key for key in everything(store))


def goes_on_from_what_was_kept(directory):
    """Tell so of a job that was killed, of which the last second may be done again."""
    lines = noted(directory)
    first, second = lines[:3], lines[3:]
    assert first == ONE_AFTER_THE_OTHER[:3] and second[-7:] == ONE_AFTER_THE_OTHER[-7:]
    return 7 <= len(second) <= 9


def test_a_job_whose_process_was_killed_goes_on(cluster, reconciler, tmp_path):
    job = submit_nouser(resuming_jobs.work_through, str(tmp_path), 10, 3, "kill", options=AGAIN)
    assert job.value(SOON) == 10
    assert "SIGKILL" in job.info.runs[0].error
    assert goes_on_from_what_was_kept(tmp_path)


def test_a_job_that_takes_too_long_goes_on_where_it_was(cluster, reconciler, tmp_path):
    options = Options(retries=1, backoff=0, timeout=5)
    work = (resuming_jobs.work_through, str(tmp_path), 10, 3, "hold")
    assert submit_nouser(*work, options=options).value(SOON) == 10
    assert noted(tmp_path) == ONE_AFTER_THE_OTHER


def test_a_job_goes_on_where_its_engine_died(short_lease, own_cluster, reconciler, store, tmp_path):
    own_cluster(2)
    options = Options(retries=1, retry_on_lost=True, backoff=0)
    work = (resuming_jobs.work_through, str(tmp_path), 10, 3, "kill the engine")
    job = submit_nouser(*work, options=options)
    wait_for(lambda: kept(store, job) in (b"1", b"2", b"3"))
    (tmp_path / "gate").touch()
    assert job.value(2 * SOON) == 10
    assert goes_on_from_what_was_kept(tmp_path)


@pytest.mark.parametrize("by", ["job", "group"])
def test_a_retry_goes_on_where_the_job_was(cluster, store, tmp_path, by):
    group = Group.create("no-user", "a group")
    work = (resuming_jobs.work_through, str(tmp_path), 10, 3)
    old = submit(ctx_default, group, "a job", None, *work).wait(SOON)
    assert (old.state, kept(store, old)) == (State.FAILED, b"3")
    [new] = [old.retry()] if by == "job" else group.retry()
    assert new.value(SOON) == 10
    assert noted(tmp_path) == [line.replace("in 2", "in 1") for line in ONE_AFTER_THE_OTHER]
    assert kept(store, old) is kept(store, new) is None


def test_what_was_cancelled_is_retried_where_it_was(cluster, store, tmp_path):
    job = submit_nouser(resuming_jobs.work_through, str(tmp_path), 10, 3, "hold")
    wait_for((tmp_path / "was here").exists)
    assert job.cancel()
    wait_for(lambda: kept(store, job) == b"3")
    assert job.retry().value(SOON) == 10
    assert len(noted(tmp_path)) == 10


def test_a_value_too_large_fails_its_job_and_says_what_to_do(cluster):
    job = submit_nouser(resuming_jobs.keep, "x" * 64_000).wait(SOON)
    assert job.state is State.FAILED
    assert job.result.endswith("at most: keep what is large elsewhere.")


def test_a_loop_does_not_go_on_from_another_value(cluster, store, reconciler, tmp_path):
    old = submit_nouser(resuming_jobs.keep_and_die, {"at": 3}).wait(SOON)
    assert kept(store, old) == b'{"at": 3}'
    job = submit_nouser(resuming_jobs.keep_and_count, {"at": 3}).wait(SOON)
    assert "InvalidJob: track() cannot go on from \"{'at': 3}\"" in job.result


@pytest.mark.parametrize("foreign", [b"\xff", b"{", b'"' + b"x" * 70_000 + b'"'])
def test_what_another_program_has_put_there_is_none(cluster, store, tmp_path, foreign):
    old = submit_nouser(resuming_jobs.work_through, str(tmp_path), 5, 3).wait(SOON)
    store.connection.redis.set(store.keys.checkpoint(old.id), foreign)
    assert old.retry().value(SOON) == 5
    assert noted(tmp_path) == [f"{n} in 1" for n in (0, 1, 2, 0, 1, 2, 3, 4)]
