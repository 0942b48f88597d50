"""Tasks of Django's own interface run as jobs, on engines."""

import asyncio
import json
import subprocess
import sys
from datetime import timedelta
from importlib import import_module
from importlib.util import find_spec

import psutil
import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.db import transaction
from django.test import override_settings
from django.utils import timezone

from moi_django import Group, Job, Options
from moi_django.exceptions import JobCancelled, JobFailed, JobLost, JobTimedOut
from moi_django.models import State
from tests.helpers.processes import environment, wait_for

if not (find_spec("django.tasks") or find_spec("django_tasks")):
    pytest.skip("there is no task interface", allow_module_level=True)

tasks = import_module("tests.site.tasks")
exceptions = import_module(f"{tasks.HOME}.exceptions")
Status = tasks.interface.TaskResultStatus

pytestmark = pytest.mark.django_db(transaction=True)
SOON = 30


def ended(result):
    """Wait for the end of a task."""
    Job.get(result.id).wait(SOON)
    result.refresh()
    assert result.is_finished
    return result


def test_a_task_runs_as_a_job(cluster, store):
    result = tasks.add.enqueue(1, 2, more=3)
    assert (result.status, result.args, result.kwargs) == (Status.READY, [1, 2], {"more": 3})
    assert (result.attempts, result.backend, result.errors) == (0, "default", [])
    with pytest.raises(ValueError, match="not finished"):
        _ = result.return_value
    result = ended(result)
    assert (result.status, result.return_value, result.attempts) == (Status.SUCCESSFUL, 6, 1)
    assert result.enqueued_at <= result.started_at == result.last_attempted_at
    assert result.started_at <= result.finished_at
    job = Job.get(result.id)
    assert (job.name, job.info.task) == ("add", "tests.site.tasks.add")
    assert job.info in [each.info for each in Group.of("no-user").jobs()]
    assert result.worker_ids == [job.info.engine]
    said = "".join(entry.piece.text for entry in store.logs.open(job.id).read_all())
    # And what Django logs of a task.
    assert "adding\n" in said and said.count(f"INFO {tasks.HOME}: Task id={job.id}") == 2
    # Also of one that has succeeded the arguments are kept.
    found = tasks.add.get_result(result.id)
    assert found == result and found.kwargs == {"more": 3}


def test_an_error_has_its_class_and_its_traceback(cluster):
    result = ended(tasks.fail.enqueue())
    assert result.status == Status.FAILED
    with pytest.raises(ValueError, match="failed"):
        _ = result.return_value
    [error] = result.errors
    assert error.exception_class is tasks.Odd
    assert error.traceback.startswith("Traceback")
    assert error.traceback.endswith("tests.site.tasks.Odd: on purpose")
    assert Job.get(result.id).info.exception == "tests.site.tasks.Odd"


def test_what_is_returned_has_to_be_json(cluster):
    assert ended(tasks.pair.enqueue()).return_value == [1, "two"]
    [error] = ended(tasks.unfit.enqueue()).errors
    assert error.exception_class is TypeError


def test_a_coroutine_function_runs_and_results_come_without_blocking(cluster):
    async def run():
        result = await tasks.wait_and_add.aenqueue(1, 2)
        await sync_to_async(Job.get(result.id).wait)(SOON)
        await result.arefresh()
        return result, await tasks.wait_and_add.aget_result(result.id)

    result, found = asyncio.run(run())
    assert result.return_value == found.return_value == 3


def test_a_task_may_take_the_context_and_what_jobs_may_ask_for(cluster):
    result = ended(tasks.who.enqueue("more"))
    assert result.return_value == [result.id, 1, "RUNNING", 1, "more", True, result.id]
    assert ended(tasks.ask_for_status.enqueue("half way")).return_value == "Running"


def test_it_waits_until_its_time(cluster, reconciler):
    time = timezone.now() + timedelta(seconds=1)
    result = tasks.add.using(run_after=time).enqueue(1)
    assert result.task.run_after == time
    assert Job.get(result.id).info.run_after
    result = ended(result)
    assert result.started_at >= time
    assert tasks.add.get_result(result.id).task.run_after == time


def test_those_with_a_higher_priority_come_first(engine, tmp_path):
    gate, path = tmp_path / "gate", str(tmp_path / "order")
    held = tasks.hold.enqueue(str(gate), str(tmp_path / "told"))
    wait_for(lambda: Job.get(held.id).state is State.RUNNING)
    results = [
        tasks.note.using(priority=priority).enqueue(path, priority) for priority in (-5, 0, 100, 7)
    ]
    assert tasks.note.get_result(results[2].id).task.priority == 100
    gate.touch()
    for result in results:
        ended(result)
    assert (tmp_path / "order").read_text().split() == ["100", "7", "0", "-5"]


def test_each_attempt_has_a_worker_and_each_failure_an_error(cluster, reconciler, tmp_path):
    result = ended(tasks.second_time.enqueue(str(tmp_path / "runs")))
    assert (result.status, result.return_value, result.attempts) == (Status.SUCCESSFUL, 2, 2)
    [error] = result.errors
    assert error.exception_class is tasks.Odd and error.traceback.endswith("Odd: too early")
    assert result.started_at < result.last_attempted_at
    assert len(result.worker_ids) == 2 and all(result.worker_ids)


def test_a_process_that_is_killed_is_a_failure_without_a_class_of_its_own(cluster, reconciler):
    result = ended(tasks.die.enqueue())
    assert [error.exception_class for error in result.errors] == [JobFailed, JobFailed]
    assert "SIGKILL" in result.errors[1].traceback


def test_one_that_is_cancelled_says_so(cluster, tmp_path):
    result = tasks.hold.enqueue(str(tmp_path / "gate"), str(tmp_path / "told"))
    wait_for(lambda: Job.get(result.id).state is State.RUNNING)
    result.refresh()
    assert (result.status, result.attempts) == (Status.RUNNING, 1)
    Job.get(result.id).cancel()
    assert [error.exception_class for error in ended(result).errors] == [JobCancelled]
    with pytest.raises(JobCancelled):
        Job.get(result.id).value()


def test_one_that_takes_too_long_says_so(cluster, tmp_path):
    result = ended(tasks.impatient.enqueue(str(tmp_path / "gate"), str(tmp_path / "told")))
    [error] = result.errors
    assert error.exception_class is JobTimedOut
    assert error.traceback.endswith("longer than its 0.3 s.")
    with pytest.raises(JobTimedOut):
        Job.get(result.id).value()


def test_one_that_is_lost_says_so(short_lease, own_cluster, reconciler, tmp_path):
    own_cluster(1)
    result = tasks.hold.enqueue(str(tmp_path / "gate"), str(tmp_path / "told"))
    told = tmp_path / "told.pid"
    pid = int(wait_for(lambda: told.exists() and told.read_text()))
    psutil.Process(pid).parent().parent().kill()
    assert [error.exception_class for error in ended(result).errors] == [JobLost]
    with pytest.raises(JobLost):
        Job.get(result.id).value()


def test_another_process_reads_the_result(cluster, site_env):
    result = ended(tasks.add.enqueue(1, more=2))
    code = (
        "import django, json; django.setup(); from tests.site.tasks import add\n"
        f"found = add.get_result({result.id!r})\n"
        "print(json.dumps([found.return_value, found.args, found.kwargs, found.worker_ids]))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment(**site_env), capture_output=True, text=True
    )
    assert json.loads(ran.stdout) == [3, [1], {"more": 2}, result.worker_ids], ran.stderr


def test_a_task_is_sent_when_the_transaction_commits(cluster):
    heard = []
    tasks.signals.task_enqueued.connect(hear := lambda task_result, **kw: heard.append(task_result))
    with transaction.atomic():
        result = tasks.add.enqueue(1)
        with pytest.raises(exceptions.TaskResultDoesNotExist):
            tasks.add.get_result(result.id)
        assert (result.status, result.enqueued_at, heard) == (Status.READY, None, [])
    assert heard == [result] and result.enqueued_at
    tasks.signals.task_enqueued.disconnect(hear)
    assert ended(result).return_value == 1
    with pytest.raises(RuntimeError), transaction.atomic():
        undone = tasks.add.enqueue(1)
        raise RuntimeError
    with pytest.raises(exceptions.TaskResultDoesNotExist):
        undone.refresh()


@pytest.mark.parametrize("fails", [False, True])
def test_the_end_is_told_where_the_task_runs(cluster, tmp_path, fails):
    ended(tasks.heard.enqueue(str(tmp_path / "heard"), fails))
    told = (tmp_path / "heard").read_text()
    assert told == ("MoiBackend FAILED 1\n" if fails else "MoiBackend SUCCESSFUL 0\n")


def test_a_task_has_an_owner_and_options(cluster, reconciler, tmp_path):
    ada = get_user_model().objects.create_user("ada")
    once_more = tasks.second_time.using(owner=ada, options=Options(retries=2, backoff=0))
    result = ended(once_more.enqueue(str(tmp_path / "runs")))
    info = Job.get(result.id).info
    assert (info.parent, info.attempts) == (Group.of(ada).id, 3)
    with pytest.raises(exceptions.TaskException, match=r"give moi_django\.Options"):
        tasks.second_time.using(options={"retries": 1})


def test_one_that_is_retried_by_hand_is_a_task_again(cluster):
    old = ended(tasks.fail.enqueue())
    new = Job.get(old.id).retry().wait(SOON)
    assert [error.exception_class for error in tasks.fail.get_result(new.id).errors] == [tasks.Odd]
    assert tasks.fail.get_result(old.id).status == Status.FAILED


def test_the_backend_says_where_and_as_whose_they_run(cluster, moi):
    moi["CONTEXTS"]["elsewhere"] = moi["CONTEXTS"]["third"] = {"connection_file": "/no/where"}
    backend = {
        "BACKEND": "moi_django.tasks.MoiBackend",
        "QUEUES": [],
        "OPTIONS": {
            "CONTEXT": "third",
            "OWNER": lambda task, args, kwargs: f"team {args[0]}",
            "NAME": "An addition",
            "URL": "/sums",
            "ON_COMMIT": False,
            "JOB": {"priority": 3},
        },
    }
    with override_settings(TASKS={"default": backend}), transaction.atomic():
        results = [
            tasks.add.using(queue_name=queue).enqueue(7)
            for queue in ("default", "reports", "elsewhere")
        ]
        infos = [Job.get(result.id).info for result in results]
    assert [info.context for info in infos] == ["third", "third", "elsewhere"]
    assert {(info.name, info.url, info.priority) for info in infos} == {("An addition", "/sums", 3)}
    assert {info.parent for info in infos} == {Group.of("team 7").id}
