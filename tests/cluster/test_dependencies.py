"""Jobs that wait for others, get their results, and share their fate."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import transaction

from moi_django import Group, Job, Options, submit, submit_nouser
from moi_django.cluster.reconciler import Reconciler
from moi_django.exceptions import InvalidJob, JobFailed
from moi_django.models import State
from moi_django.site_store import get_store
from tests.helpers.processes import wait_for
from tests.site import work

pytestmark = pytest.mark.django_db(transaction=True)
SOON = 30


def send(name, function, *args, owner="ada", **options):
    return submit("default", owner, name, None, function, *args, options=Options(**options))


def ended(job, state):
    """Return a job once it has ended so."""
    return wait_for(lambda: job.refresh().finished and job.state is state and job)


def test_a_job_gets_the_results_of_others(engine):
    first = send("first", work.triple, 2)
    second = send("second", work.triple, first)
    third = send("third", work.collect, {"all": [first, (second, 1)]}, first)
    assert third.value(SOON) == {"values": {"all": [6, [18, 1]]}, "more": 6}
    assert [each.info.after for each in (first, second)] == [(), (first.id,)]
    assert set(third.info.after) == {first.id, second.id}


def test_it_begins_when_they_have_ended_and_says_for_whom_it_waits(engine, tmp_path):
    gates = [tmp_path / "one", tmp_path / "two"]
    held = [send(gate.name, work.held_until, str(gate)) for gate in gates]
    job = send("last", work.triple, 1, after=held)
    assert (job.state, job.status) == (State.QUEUED, "Waits for 2 jobs")
    gates[0].touch()
    wait_for(lambda: job.refresh().status == "Waits for two")
    gates[1].touch()
    assert job.value(SOON) == 3
    assert job.info.date_start > max(each.refresh().info.date_end for each in held)


def test_a_group_has_ended_when_all_in_it_has(cluster, tmp_path):
    group = Group.create("ada", "sweep")
    inner = Group.create(group, "inner")
    gate = tmp_path / "gate"
    send("held", work.held_until, str(gate), owner=inner)
    for number in range(5):
        send(f"item {number}", work.triple, number, owner=group)
    total = send("total", sum, group)
    wait_for(lambda: group.totals().get("success") == 5)
    assert total.refresh().status == "Waits for sweep"
    gate.touch()
    # What is directly in it, in its order.
    assert total.value(SOON) == 30


def test_what_waits_for_one_that_fails_is_skipped_and_so_on(engine):
    parent = send("first", work.leave)
    child = send("second", work.triple, parent)
    grandchild = send("third", work.triple, 1, after=[child])
    with pytest.raises(JobFailed, match="Its parent 'first' failed"):
        child.value(SOON)
    ended(grandchild, State.CANCELLED)
    assert (child.info.failed_parent, grandchild.info.failed_parent) == (parent.id, child.id)
    assert grandchild.result == "Its parent 'second' was cancelled."
    late = send("late", work.triple, 1, after=[parent.id])
    assert ended(late, State.CANCELLED).info.failed_parent == parent.id


def test_it_runs_all_the_same_where_that_is_asked_for(engine):
    group = Group.create("ada", "sweep")
    for function in (work.hello, work.leave, work.hello):
        send("item", function, owner=group)
    failed = send("failed", work.leave)
    job = send("reduce", work.collect, [group, failed], None, on_failure="run")
    results = job.value(SOON)["values"]
    assert len(results[0]) == 2 and results[1] is None


def test_a_retry_puts_back_what_was_skipped(engine, tmp_path):
    path = tmp_path / "runs"
    parent = send("first", work.works_and_fails, str(path), 1)
    child = send("second", work.collect, [parent], None)
    grandchild = send("third", work.collect, [child], None)
    ended(grandchild, State.CANCELLED)
    with pytest.raises(InvalidJob, match="waits for 'first', which did not succeed: retry that"):
        child.retry()
    again = parent.retry()
    grandchild = Job.get(wait_for(lambda: grandchild.refresh().info.retried))
    [of_child] = grandchild.value(SOON)["values"]
    assert of_child == {"values": [again.value(SOON)], "more": None}
    assert child.refresh().state is State.CANCELLED and child.info.retried in grandchild.info.after


def test_who_waits_for_one_that_was_retried_waits_for_its_successor(engine, tmp_path):
    parent = send("first", work.works_and_fails, str(tmp_path / "runs"), 1)
    ended(parent, State.FAILED)
    again = parent.retry()
    job = send("second", work.collect, parent, None)
    assert job.info.after == (again.id,)
    assert job.value(SOON)["values"] == again.value(SOON)


def test_in_a_transaction_one_waits_for_the_job_that_has_the_key(engine, tmp_path):
    gate = tmp_path / "gate"
    held = send("held", work.held_until, str(gate), unique="a key")
    with transaction.atomic():
        same = send("same", work.held_until, str(gate), unique="a key")
        job = send("second", work.collect, [same], None)
    gate.touch()
    assert job.value(SOON)["values"] == [held.value(SOON)]
    assert (same.id, job.info.after) == (held.id, (held.id,))


def test_a_map_waits_for_a_job_among_its_keywords(engine):
    first = send("first", work.triple, 2)
    group = Group.map(work.collect, [1, 2], owner="ada", name="map", more=first)
    assert group.results(SOON) == [{"values": 1, "more": 6}, {"values": 2, "more": 6}]


def test_a_retry_in_a_group_puts_back_what_waits_for_the_group(engine, tmp_path):
    group = Group.create("ada", "sweep")
    send("item", work.works_and_fails, str(tmp_path / "runs"), 1, owner=group)
    send("item", work.triple, 1, owner=group)
    total = send("total", work.collect, group, None)
    assert ended(total, State.CANCELLED).result == "1 jobs of its parent 'sweep' did not succeed."
    assert len(group.retry()) == 2
    again = Job.get(total.refresh().info.retried)
    assert len(again.value(SOON)["values"]) == 2


def test_it_is_put_back_also_when_its_parents_are_retried_one_by_one(engine, tmp_path):
    parents = [send(name, work.works_and_fails, str(tmp_path / name), 1) for name in "ab"]
    child = send("both", work.collect, parents, None)
    ended(child, State.CANCELLED)
    for parent in [ended(parent, State.FAILED) for parent in parents]:
        parent.retry()
    assert len(Job.get(child.refresh().info.retried).value(SOON)["values"]) == 2


def test_it_is_not_put_back_when_the_parent_that_failed_was_removed(engine, tmp_path):
    gone, failed = (
        send(name, work.works_and_fails, str(tmp_path / name), 1).wait(SOON) for name in "ab"
    )
    child = send("both", work.triple, 1, after=[gone, failed])
    assert ended(child, State.CANCELLED).info.failed_parent in (gone.id, failed.id)
    if child.info.failed_parent == failed.id:
        gone, failed = failed, gone
    gone.remove()
    assert failed.retry().wait(SOON).state is State.SUCCESS
    assert child.refresh().info.retried is None


@pytest.mark.parametrize("end", [Job.cancel, Job.remove])
def test_cancelling_and_removing_follow_the_edges(engine, tmp_path, end):
    gate = tmp_path / "gate"
    parent = send("first", work.held_until, str(gate))
    child = send("second", work.triple, 1, after=[parent])
    grandchild = send("third", work.triple, 1, after=[child])
    end(parent)
    ended(grandchild, State.CANCELLED)
    assert child.refresh().result in (
        "Its parent 'first' was cancelled.",
        "What it waited for was removed.",
    )
    gate.touch()


def test_one_engine_runs_all_that_a_job_waits_for(engine, moi):
    assert submit_nouser(work.wait_for_chain, moi, 3).value(SOON) == 27


def test_in_a_transaction_both_wait_for_its_commit(engine):
    with transaction.atomic():
        first = send("first", work.triple, 1)
        second = send("second", work.triple, first)
        assert get_store().jobs.get(second.id) is None
    assert second.value(SOON) == 9


def test_a_job_begins_not_before_its_time(engine):
    parent = send("first", work.triple, 1)
    jobs = [
        send("later", work.triple, 1, run_after=timedelta(seconds=2)),
        send("later", work.triple, 1, run_after=datetime.now(UTC) + timedelta(seconds=2)),
        send("later", work.triple, parent, run_after=timedelta(seconds=2)),
        send("much later", work.triple, 1, run_after=timedelta(days=100)),
    ]
    past = send("past", work.triple, 1, run_after=datetime.now(UTC) - timedelta(hours=1))
    assert past.value(SOON) == 3
    reconciler = Reconciler()

    def have_ended():
        reconciler.reconcile()
        return all(job.refresh().finished for job in jobs[:3])

    wait_for(have_ended)
    assert [job.result for job in jobs[:3]] == [3, 3, 9]
    assert all(job.info.date_start >= job.info.run_after for job in jobs[:3])
    assert jobs[3].refresh().state is State.QUEUED and jobs[3].cancel()


def test_what_cannot_be_is_refused(engine, tmp_path):
    group = Group.create("ada", "sweep")
    gate = tmp_path / "gate"
    held = send("held", work.held_until, str(gate), owner=group)
    waits = send("waits", work.triple, 1, after=[group])
    with pytest.raises(InvalidJob, match="would wait for itself"):
        send("own group", work.triple, 1, owner=group, after=[group])
    with pytest.raises(InvalidJob, match="would wait for itself"):
        send("in a circle", work.triple, 1, owner=group, after=[held, waits])
    with pytest.raises(InvalidJob, match="which is gone or never was"):
        send("gone", work.triple, 1, after=["nothing"])
    with pytest.raises(InvalidJob, match="cannot wait for 5"):
        send("number", work.triple, 1, after=[5])
    for wrong in ({"after": held}, {"after": [held] * 101}, {"on_failure": "wait"}):
        with pytest.raises(InvalidJob, match="give"):
            Options(**wrong)
    first, last = (edge.replace(tzinfo=UTC) for edge in (datetime.min, datetime.max))
    for wrong in (datetime(2030, 1, 1), 5, "tomorrow", timedelta.max, timedelta.min, first, last):
        with pytest.raises(
            InvalidJob, match=r"run_after is .* give a timedelta, or a time with its zone"
        ):
            Options(run_after=wrong)
    gate.touch()
    assert waits.value(SOON) == 3
