"""The backend for Django's task interface without engines: what it sends, refuses and knows."""

import asyncio
import logging
import pickle
from datetime import datetime, timedelta
from importlib import import_module
from importlib.util import find_spec

import django
import pytest
from django.core.checks import run_checks
from django.db import transaction
from django.test import override_settings
from django.utils import timezone

from moi_django import Job, Options, submit_nouser
from moi_django.models import Attempt, Info, State
from tests.helpers.records import finish
from tests.site import work

if not (find_spec("django.tasks") or find_spec("django_tasks")):
    pytest.skip("there is no task interface", allow_module_level=True)

from moi_django.contrib.tasks import checks, results
from moi_django.tasks import MoiBackend, MoiTask

tasks = import_module("tests.site.tasks")
exceptions = import_module(f"{tasks.HOME}.exceptions")
InvalidTask = getattr(exceptions, "InvalidTask", None) or exceptions.InvalidTaskError
InvalidTaskBackend = (
    getattr(exceptions, "InvalidTaskBackend", None) or exceptions.InvalidTaskBackendError
)
Missing = exceptions.TaskResultDoesNotExist

pytestmark = pytest.mark.django_db(transaction=True)
OURS = "moi_django.tasks.MoiBackend"


def nested():
    def inner():
        pass

    return inner


def takes_nothing():
    pass


def takes_context(context):
    pass


def test_it_can_do_all_that_a_backend_may_do():
    backend = tasks.interface.task_backends["default"]
    assert isinstance(backend, MoiBackend) and isinstance(tasks.add, MoiTask)
    assert backend.supports_defer and backend.supports_async_task
    assert backend.supports_get_result and backend.supports_priority
    assert (tasks.add.name, tasks.add.module_path) == ("add", "tests.site.tasks.add")


@pytest.mark.parametrize(
    ("func", "how", "said"),
    [
        (nested(), {}, "module level"),
        (takes_nothing, {"takes_context": True}, "first argument of 'context'"),
        (takes_context, {"takes_context": True, "priority": 101}, "between -100 and 100"),
        (takes_nothing, {"priority": -101}, "between -100 and 100"),
        (takes_nothing, {"priority": 1.5}, "between -100 and 100"),
        (takes_nothing, {"queue_name": "unknown"}, "Queue 'unknown' is not valid"),
    ],
)
def test_what_can_be_no_task_is_refused(func, how, said):
    with pytest.raises(InvalidTask, match=said):
        tasks.task(**how)(func)


def test_what_a_copy_has_is_checked_and_leaves_the_task_as_it_is():
    time = timezone.now()
    copy = tasks.add.using(priority=7).using(queue_name="reports").using(run_after=time)
    assert (copy.priority, copy.queue_name, copy.run_after) == (7, "reports", time)
    assert (tasks.add.priority, tasks.add.queue_name, tasks.add.run_after) == (0, "default", None)
    assert copy.func is tasks.add.func and copy != tasks.add
    with pytest.raises(InvalidTask, match="aware"):
        tasks.add.using(run_after=datetime.now())
    with pytest.raises(InvalidTask, match="not valid"):
        tasks.add.using(queue_name="unknown")
    with pytest.raises(InvalidTaskBackend, match="exist"):
        tasks.add.using(backend="unknown")
    with pytest.raises(InvalidTask, match="give moi_django"):
        tasks.add.using(options={"retries": 1})
    assert tasks.add.using(owner="ada", options=Options(retries=1)).owner == "ada"


def test_it_is_called_where_it_is():
    assert tasks.add.call(1, 2) == 3
    assert asyncio.run(tasks.add.acall(1, 2)) == 3
    assert tasks.wait_and_add.call(1, 2) == 3
    assert asyncio.run(tasks.wait_and_add.acall(1, 2)) == 3


@pytest.mark.parametrize("argument", [{1, 2}, object(), timedelta(1), b"\xff"])
def test_arguments_that_json_cannot_carry_are_refused_at_once(moi, store, argument):
    with pytest.raises((TypeError, ValueError), match="Unsupported"):
        tasks.add.enqueue(argument)
    with pytest.raises((TypeError, ValueError), match="Unsupported"):
        asyncio.run(tasks.add.aenqueue(more=argument))
    assert store.users.to_dict() == {}


def test_a_task_that_engines_could_not_import_is_refused(moi):
    with pytest.raises(InvalidTask, match="not this one: give it the name of its function"):
        tasks.renamed.enqueue()
    vanished = tasks.task(takes_nothing)
    vanished.func.__qualname__ = "vanished"
    with pytest.raises(InvalidTask, match="by its path"):
        vanished.enqueue()


def test_a_task_is_checked_again_when_it_is_sent(moi):
    with override_settings(TASKS={"default": {"BACKEND": OURS, "QUEUES": ["others"]}}):
        with pytest.raises(InvalidTask, match="Queue 'default' is not valid"):
            tasks.add.enqueue(1)
        with pytest.raises(InvalidTask, match="Queue 'default' is not valid"):
            asyncio.run(tasks.add.aenqueue(1))
    with override_settings(TASKS={}), pytest.raises(InvalidTaskBackend):
        tasks.add.enqueue(1)


def test_what_is_sent_is_found_again(moi, store):
    result = tasks.add.using(queue_name="reports", priority=5).enqueue((1, 2), more=b"text")
    assert (result.args, result.kwargs) == ([[1, 2]], {"more": "text"})
    found = tasks.add.get_result(result.id)
    assert found == result and found is not result
    assert (found.task.queue_name, found.task.priority) == ("reports", 5)
    assert asyncio.run(tasks.add.aget_result(result.id)) == result
    assert len(result.id) < 64 and not found.is_finished
    result.refresh()
    asyncio.run(result.arefresh())
    assert found == result
    with pytest.raises(exceptions.TaskResultMismatch, match=r"tests\.site\.tasks\.add"):
        tasks.fail.get_result(result.id)


def test_what_is_no_result_of_a_task_is_not_found(moi, store):
    result = tasks.add.enqueue(1)
    Job.get(result.id).remove()
    for id in ("123", "", result.id, submit_nouser(work.triple, 1).id, "no-user", None):
        with pytest.raises(Missing):
            tasks.add.get_result(id)
        with pytest.raises(Missing):
            asyncio.run(tasks.add.aget_result(id))
    with pytest.raises(Missing):
        result.refresh()


def test_arguments_that_somebody_has_changed_are_not_believed(moi, store):
    first, second = tasks.add.enqueue(1), tasks.add.enqueue(2)
    payload = store.jobs.payload(second.id)
    store.connection.redis.set(store.keys.payload(first.id), payload)
    with pytest.raises(Missing):
        tasks.add.get_result(first.id)


def test_the_arguments_of_one_that_has_ended_are_kept_whatever_their_length(moi, store):
    moi["RETRY_PAYLOAD_LIMIT"] = 10
    for state in (State.SUCCESS, State.FAILED):
        result = tasks.add.enqueue("x" * 1000)
        finish(store, Job.get(result.id).info, state, "text")
        assert tasks.add.get_result(result.id).args == ["x" * 1000]


def test_the_workers_of_many_attempts_are_counted_also_where_nobody_knows_them():
    found = results.TaskCall("tests.site.tasks.add", "default", "default", 0, None, [1], {})
    info = Info(
        *("x", "x", "job", "x"),
        state=State.QUEUED,
        date_created="2026-01-01 00:00:00.000000",
        attempt=15,
        runs=tuple(
            Attempt(
                number, State.FAILED, f"2026-01-02 00:00:{number:02}.000000", None, "x", ran_on="e"
            )
            for number in range(5, 15)
        ),
    )
    result = results.result_of(info, found)
    assert result.worker_ids == ["unknown"] * 4 + ["e"] * 10
    assert result.started_at.second == 5 and result.last_attempted_at.second == 14
    assert result.status == "READY" and len(result.errors) == 10
    with override_settings(USE_TZ=False):
        assert timezone.is_naive(results.result_of(info, found).started_at)


def test_it_is_sent_at_once_within_a_transaction_if_the_backend_says_so(moi):
    backend = {"BACKEND": OURS, "OPTIONS": {"ON_COMMIT": False}}
    with override_settings(TASKS={"default": backend}), transaction.atomic():
        result = tasks.add.enqueue(1)
        assert tasks.add.get_result(result.id) == result


@pytest.mark.skipif((6, 0) <= django.VERSION < (6, 1), reason="Django 6.0 has no such keywords")
def test_a_task_may_say_for_good_whose_it_is_and_how_it_is_run():
    task = tasks.task(owner="reports", options=Options(timeout=60))(takes_nothing)
    assert (task.owner, task.options.timeout, task.using(priority=2).owner) == (
        "reports",
        60,
        "reports",
    )


def test_django_logs_what_is_sent(moi, caplog):
    with caplog.at_level(logging.DEBUG, tasks.HOME):
        result = tasks.add.enqueue(1)
    [record] = [each for each in caplog.records if each.name == tasks.HOME]
    assert f"Task id={result.id} path=tests.site.tasks.add enqueued" in record.getMessage()


@pytest.mark.skipif(not django.VERSION >= (6, 1), reason="only Django 6.1 can pickle tasks")
def test_tasks_and_results_can_be_pickled(moi):
    task = tasks.add.using(owner="ada", priority=3)
    assert pickle.loads(pickle.dumps(task)) == task
    result = tasks.add.enqueue(1)
    assert pickle.loads(pickle.dumps(result)) == result


def test_times_without_zones_are_taken_where_the_site_has_none(moi):
    time = datetime(2100, 1, 1)
    with override_settings(USE_TZ=False):
        result = tasks.add.using(run_after=time).enqueue(1)
        assert tasks.add.get_result(result.id).task.run_after == time
        assert timezone.is_naive(result.enqueued_at)


@pytest.mark.parametrize(
    ("options", "id"),
    [
        ({"OWNR": "ada"}, "moi.E028"),
        ({"CONTEXT": "nowhere"}, "moi.E029"),
        ({"JOB": {"retries": -1}}, "moi.E030"),
        ({"JOB": {"retry": 1}}, "moi.E030"),
        ({"JOB": 1}, "moi.E030"),
    ],
)
def test_a_wrong_option_is_found_by_the_check(moi, options, id):
    assert [each.id for each in checks.check_options("default", options)] == [id]
    with override_settings(TASKS={"default": {"BACKEND": OURS, "OPTIONS": options}}):
        backend = tasks.interface.task_backends["default"]
        assert [each.id for each in backend.check()] == [id]
        if django.VERSION >= (6, 0):
            assert id in [each.id for each in run_checks()]
