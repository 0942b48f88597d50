"""From submit() to the result, on real engines."""

import functools
import threading
from contextlib import suppress

import pytest
from django.contrib.auth import get_user_model
from django.db import transaction

from moi_django import Group, asubmit, ctx_default, submit, submit_nouser, system_call
from moi_django.exceptions import (
    GroupNotFound,
    InvalidJob,
    JobFailed,
    JobNotFound,
    UnknownContext,
)
from moi_django.models import State
from tests.site import work

pytestmark = pytest.mark.django_db(transaction=True)
SOON = 20


@pytest.fixture
def user():
    return get_user_model().objects.create_user("ada")


def test_the_first_example_of_moi(cluster):
    job = submit_nouser(work.hello)
    assert job.value(SOON) == "hi!"
    assert job.status == "Success"


def test_a_job_has_all_its_fields(cluster, user):
    job = submit(ctx_default, user, "The hello job", "/hello_result", work.hello).wait(SOON)
    info = job.info
    assert (info.name, info.type, info.context, info.url) == (
        "The hello job",
        "job",
        "default",
        "/hello_result",
    )
    assert info.date_created < info.date_start < info.date_end
    assert info.pubsub == f"{info.id}:pubsub"
    assert info.link == f"/hello_result/{info.id}"
    # queued, running, a status, success
    assert info.version == 4
    assert Group.of(user).jobs() == [job]
    assert Group.of(user).totals() == {"success": 1}


@pytest.mark.parametrize(
    ("function", "args", "result"),
    [
        (lambda: 41 + 1, (), 42),
        (functools.partial(pow, 2), (5,), 32),
        (work.Machine(40).work, (2,), 42),
        (work.triple, (4,), 12),
        (work.twice, (4,), 8),
        (len, ("four",), 4),
        (system_call, ("echo hello",), ["hello\n", "", 0]),
    ],
    ids=["lambda", "partial", "method", "global", "coroutine", "builtin", "system"],
)
def test_any_callable_runs(cluster, function, args, result):
    assert submit_nouser(function, *args).value(SOON) == result


def test_a_closure_runs(cluster):
    base = 40

    def add(number):
        return base + number

    assert submit_nouser(add, 2).value(SOON) == 42


def test_a_function_gets_what_its_signature_accepts(cluster, user):
    def ask(moi_context, moi_parent_id, *, moi_update_status):
        return [moi_context, moi_parent_id, moi_update_status("new")]

    job = submit(ctx_default, user, "asks", None, ask)
    assert job.value(SOON) == ["default", Group.of(user).id, "Running"]


def test_the_orm_works_in_a_job(cluster, user):
    assert submit_nouser(work.count_users).value(SOON) == 1


def fails():
    return float("crash and burn")


@pytest.mark.parametrize(
    ("function", "ending"),
    [
        (fails, "ValueError: could not convert string to float: 'crash and burn'"),
        (work.leave, "The job called sys.exit(3)."),
        (work.interrupt, "KeyboardInterrupt"),
    ],
)
def test_whatever_a_job_raises_ends_it(cluster, function, ending):
    job = submit_nouser(function).wait(SOON)
    assert (job.state, job.status) == (State.FAILED, "Failed")
    lines = job.result.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1].lstrip().startswith("File ") and "moi_django" not in lines[1]
    assert lines[-1] == ending


def test_the_source_of_a_lambda_travels_with_it(cluster):
    trace = submit_nouser(lambda: 1 / 0).wait(SOON).result
    assert trace.splitlines()[1].startswith(f'  File "{__file__}", line ')
    assert "submit_nouser(lambda: 1 / 0)" in trace.splitlines()[2]


def test_value_raises_what_happened(cluster):
    with pytest.raises(JobFailed, match="crash and burn"):
        submit_nouser(fails).value(SOON)


def test_an_unpicklable_argument_gives_a_failed_job(cluster):
    job = submit_nouser(len, threading.Lock())
    assert job.refresh().state is State.FAILED
    assert "cannot pickle" in job.result and "pass what they are made from" in job.result


def test_an_argument_may_hold_itself(cluster):
    ring = [1]
    ring.append(ring)
    assert submit_nouser(len, ring).value(SOON) == 2


def test_a_function_the_engine_cannot_import_gives_a_failed_job(cluster, tmp_path, monkeypatch):
    (tmp_path / "only_here.py").write_text("def f():\n    return 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import only_here

    job = submit_nouser(only_here.f).wait(SOON)
    assert job.state is State.FAILED
    assert "No module named 'only_here'" in job.result


def test_a_result_without_a_form_in_json_is_described(cluster):
    result = submit_nouser(lambda: {"set": {2, 1}, "odd": 1j}).value(SOON)
    assert result == {"set": [1, 2], "odd": {"repr": "1j", "type": "builtins.complex"}}


def test_a_result_beyond_the_limit_fails_with_a_reason(cluster, moi):
    moi["RESULT_LIMIT"] = 1000
    job = submit_nouser(lambda: "x" * 2000).wait(SOON)
    assert job.state is State.FAILED
    assert "RESULT_LIMIT" in job.result


def test_a_removed_job_does_not_come_back(cluster, tmp_path, store):
    job = submit_nouser(work.held_until, str(tmp_path / "go"))
    with store.jobs.listen(job.id) as heard:
        while job.refresh().status != "holding":
            heard(1)
    job.remove()
    (tmp_path / "go").touch()
    assert submit_nouser(work.triple, 1).value(SOON) == 3
    with pytest.raises(JobNotFound):
        job.refresh()
    assert not [
        key
        for key in store.connection.redis.keys(f"{store.config.prefix}*")
        if job.id.encode() in key
    ]


def test_a_transaction_sends_after_its_commit(cluster, user):
    with transaction.atomic():
        job = submit(ctx_default, user, "waits", None, work.count_users)
        get_user_model().objects.create_user("bob")
        with pytest.raises(JobNotFound):
            job.refresh()
        with pytest.raises(InvalidJob, match="commit"):
            job.wait(1)
    assert job.value(SOON) == 2


def test_a_rolled_back_transaction_sends_nothing(cluster, user):
    class Stop(Exception):
        pass

    with pytest.raises(Stop), transaction.atomic():
        job = submit(ctx_default, user, "never", None, work.hello)
        raise Stop
    with pytest.raises(JobNotFound):
        job.refresh()


def test_what_cannot_be_pickled_fails_when_its_transaction_commits(cluster, user):
    with transaction.atomic():
        job = submit(ctx_default, user, "fails", None, len, threading.Lock())
        with pytest.raises(JobNotFound):
            job.refresh()
        with pytest.raises(InvalidJob, match="commit"):
            job.wait(1)
    assert "cannot pickle" in job.wait(SOON).result
    with suppress(ZeroDivisionError), transaction.atomic():
        submit(ctx_default, user, "never", None, len, threading.Lock())
        raise ZeroDivisionError
    assert Group.of(user).jobs() == [job]


def test_a_group_is_made_at_once_and_its_jobs_with_the_commit(cluster, user):
    with transaction.atomic():
        group = Group.create(user, "a sweep")
        inner = Group.create(group, "inner")
        job = submit(ctx_default, inner, "in it", None, work.triple, 1)
        assert [each.name for each in Group.of(user).traverse()] == ["ada", "a sweep", "inner"]
    assert job.value(SOON) == 3
    with suppress(ZeroDivisionError), transaction.atomic():
        left = Group.create(user, "left")
        submit(ctx_default, left, "never", None, work.triple, 1)
        raise ZeroDivisionError
    assert left.jobs() == []


def test_a_function_given_as_first_argument_names_stay_free(cluster):
    def named(name, url, func, context, owner):
        return [name, url, func, context, owner]

    job = submit_nouser(named, name=1, url=2, func=3, context=4, owner=5)
    assert job.value(SOON) == [1, 2, 3, 4, 5]


async def test_asubmit(cluster):
    from asgiref.sync import sync_to_async

    job = await asubmit(ctx_default, "someone", "async", None, work.triple, 5)
    assert (await sync_to_async(job.value)(SOON)) == 15


def test_groups_hold_jobs_and_groups(cluster, user):
    group = Group.create(user, "a sweep", "/group")
    inner = Group.create(group, "inner")
    jobs = [submit(ctx_default, group, f"job {n}", None, work.triple, n) for n in range(2)]
    jobs.append(submit(ctx_default, inner.id, "deep", None, work.triple, 2))
    assert [job.value(SOON) for job in jobs] == [0, 3, 6]
    assert group.jobs() == jobs
    assert [node.name for node in group.traverse()] == [
        "a sweep",
        "inner",
        "deep",
        "job 0",
        "job 1",
    ]
    assert Group.of(user).totals() == {"success": 3}
    group.delete()
    assert Group.of(user).jobs() == []
    assert Group.of(user).totals() == {}


def test_a_bad_owner_context_name_or_url_is_refused(cluster, user):
    bad = [
        (InvalidJob, (ctx_default, 7, "x", None, len)),
        (InvalidJob, (ctx_default, user, " ", None, len)),
        (InvalidJob, (ctx_default, user, "x", "javascript:alert(1)", len)),
        (InvalidJob, (ctx_default, user, "x", None, "len")),
        (UnknownContext, ("nowhere", user, "x", None, len)),
        (GroupNotFound, (ctx_default, "00000000-0000-4000-8000-000000000000", "x", None, len)),
    ]
    for error, arguments in bad:
        with pytest.raises(error):
            submit(*arguments)


def test_without_a_cluster_a_job_waits(moi, store, tmp_path, caplog):
    moi["CONTEXTS"] = {"default": {"connection_file": str(tmp_path / "none.json")}}
    job = submit_nouser(len, "x")
    assert (job.state, job.status) == (State.QUEUED, "Queued")
    assert store.queue.waiting_count("default") == 1
    assert "moi up" in caplog.text


def test_groups_that_would_hold_each_other_are_refused(store):
    one, two = Group.create("ada", "one"), Group.create("ada", "two")
    one.add(two)
    for group, member in ((two, one), (one, one), (one, Group.of("ada"))):
        with pytest.raises(InvalidJob, match="cannot hold it"):
            group.add(member)
