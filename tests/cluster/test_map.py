"""Thousands of jobs of one function, on engines: each comes to an end, in the order of its item."""

import asyncio
import threading
from functools import partial

import pytest
from django.db import transaction

from moi_django import Group, Job, Options
from moi_django.exceptions import InvalidJob, JobFailed
from moi_django.models import State
from tests.helpers import mapped_items
from tests.helpers.processes import wait_for

pytestmark = pytest.mark.django_db(transaction=True)
SOON = 60


def mapped(func, items, **how):
    return Group.map(func, items, **{"owner": "ada", "name": "a map", **how})


def test_an_exception_in_one_of_two_thousand_is_that_one_s_alone(cluster):
    numbers = [*range(-1000, 1000)]
    group = mapped(mapped_items.divide, iter(numbers), dividend=10)
    found = group.results(SOON, return_exceptions=True)
    assert [each if isinstance(each, JobFailed) else each[0] for each in found] == [
        found[1000] if number == 0 else 10 / number for number in numbers
    ]
    assert "ZeroDivisionError" in str(found[1000]) and "(a map 1001)" in str(found[1000])
    with pytest.raises(JobFailed, match=r"\(a map 1001\) ended as failed"):
        group.results(SOON)
    assert group.totals() == {"success": 1999, "failed": 1}
    jobs, results = zip(*group.iter_results(SOON), strict=True)
    assert [job.name for job in jobs] == [f"a map {number}" for number in range(1, 2001)]
    assert [*map(str, results)] == [*map(str, found)]
    # Each engine has one process for them, which runs up to a thousand jobs.
    pids = {each[1] for each in found if not isinstance(each, JobFailed)}
    assert len(pids) <= 4


def test_results_come_while_others_run(engine, tmp_path):
    gate = tmp_path / "gate"
    how = {"path": str(tmp_path / "noted"), "held": 2, "gate": str(gate)}
    results = mapped(mapped_items.note_and_hold, range(5), **how).iter_results(SOON)
    assert [next(results)[1], next(results)[1]] == [0, 1]
    assert not gate.exists()
    gate.touch()
    assert [result for _, result in results] == [2, 3, 4]


def test_a_time_that_is_too_short_is_an_error(engine, tmp_path):
    how = {"path": str(tmp_path / "noted"), "held": 0, "gate": str(tmp_path / "gate")}
    group = mapped(mapped_items.note_and_hold, range(2), **how)
    with pytest.raises(TimeoutError):
        group.results(0.1)
    with pytest.raises(TimeoutError):
        next(group.iter_results(0.1))
    (tmp_path / "gate").touch()
    assert group.results(SOON) == [0, 1]


def test_a_cancel_in_the_middle_ends_the_rest(engine, tmp_path):
    path = tmp_path / "noted"
    how = {"path": str(path), "held": 50, "gate": str(tmp_path / "gate")}
    group = mapped(mapped_items.note_and_hold, range(300), **how)
    wait_for(lambda: path.exists() and 50 in mapped_items.noted(path))
    assert group.cancel() == 250
    found = group.results(SOON, return_exceptions=True)
    assert found[:50] == [*range(50)]
    assert all("ended as cancelled" in str(each) for each in found[50:])
    # The engine has gone on to what is there now.
    assert mapped(abs, [-1]).results(SOON) == [1]
    assert mapped_items.noted(path) == [*range(51)]


def test_a_retry_gives_each_result_the_place_of_its_item(cluster, tmp_path):
    path, failing = tmp_path / "noted", [0, 3, 150, 299]
    path.touch()
    group = mapped(mapped_items.fail_first, range(300), path=str(path), failing=failing)
    found = group.results(SOON, return_exceptions=True)
    assert [n for n, each in enumerate(found) if isinstance(each, JobFailed)] == failing
    assert len(group.retry()) == len(failing)
    assert group.results(SOON) == [*range(300)]
    assert [result for _, result in group.iter_results(SOON)] == [*range(300)]
    assert sorted(mapped_items.noted(path)) == sorted([*range(300), *failing])


def test_when_an_engine_dies_all_come_to_an_end_and_none_runs_twice(
    short_lease, own_cluster, reconciler, tmp_path
):
    own_cluster(2)
    path = tmp_path / "noted"
    group = mapped(mapped_items.kill_engine_at, range(300), path=str(path), last=100)
    found = group.results(SOON, return_exceptions=True)
    assert [each for n, each in enumerate(found) if n != 100] == [n for n in range(300) if n != 100]
    assert "ended as lost" in str(found[100])
    assert sorted(mapped_items.noted(path)) == [*range(300)]


def test_an_item_that_cannot_be_sent_is_a_job_that_has_failed(cluster, moi):
    moi["PAYLOAD_LIMIT"] = 50_000
    found = mapped(repr, [1, threading.Lock(), b"x" * 50_001, 4]).results(
        SOON, return_exceptions=True
    )
    assert (found[0], found[3]) == ("1", "4")
    assert "cannot pickle" in str(found[1]) and "pass what they are made from" in str(found[1])
    assert "PAYLOAD_LIMIT" in str(found[2]) and "cannot be pickled" not in str(found[2])


def test_what_can_be_no_map_makes_no_group(moi):
    for refused, how in [
        ("not a function", {}),
        (partial(print, threading.Lock()), {}),
        (abs, {"options": Options(unique="a key")}),
        (abs, {"options": Options(limit="unknown")}),
        (abs, {"name": " "}),
    ]:
        with pytest.raises(InvalidJob):
            mapped(refused, [1], **how)
    assert [*Group.of("ada").traverse()] == [Group.of("ada")]


def test_jobs_of_a_map_begin_with_the_commit(cluster):
    with transaction.atomic():
        items = [[1], [2]]
        group = mapped(sum, items)
        items[0].append(9)
        assert Group.get(group.id).jobs() == []
        with pytest.raises(InvalidJob, match="commits"):
            group.results(0)
    assert group.results(SOON) == [1, 2]


def test_no_jobs_are_left_of_what_is_rolled_back(cluster):
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        group = mapped(abs, [-1])
        _ = 1 / 0
    assert Group.get(group.id).jobs() == []


def test_it_can_be_done_in_an_event_loop(cluster):
    group = asyncio.run(Group.amap(abs, range(-3, 0), owner="ada", name="a map"))
    assert group.results(SOON) == [3, 2, 1]
    assert mapped(abs, []).results(SOON) == []


def test_a_function_of_a_notebook_has_its_closure_and_its_source(cluster):
    offset = 10

    def shift(item, status_update, factor=1):
        status_update(f"shifts {item}")
        return offset * factor + item if item else 1 / item

    found = mapped(shift, range(2), factor=2).results(SOON, return_exceptions=True)
    assert found[1] == 21
    assert "return offset * factor + item if item else 1 / item" in str(found[0])
    assert mapped(partial(pow, 2), range(3)).results(SOON) == [1, 2, 4]


def test_two_maps_share_a_process_when_they_name_it_and_else_do_not(engine):
    warm = Options(process="warm")
    assert mapped(mapped_items.count_calls, [5, 6], options=warm).results(SOON) == [[5, 1], [6, 2]]
    assert mapped(mapped_items.count_calls, [7], options=warm).results(SOON) == [[7, 3]]
    assert mapped(mapped_items.count_calls, [8, 9]).results(SOON) == [[8, 1], [9, 2]]


def test_a_map_begins_after_another(engine, reconciler, tmp_path):
    path, gate = tmp_path / "noted", tmp_path / "gate"
    how = {"path": str(path), "held": 2, "gate": str(gate)}
    first = mapped(mapped_items.note_and_hold, range(3), **how)
    options = Options(after=[first])
    second = mapped(mapped_items.note, range(3, 6), options=options, path=str(path))
    wait_for(lambda: path.exists() and 2 in mapped_items.noted(path))
    assert second.totals() == {"queued": 3}
    gate.touch()
    assert second.results(SOON) == [3, 4, 5]
    assert mapped_items.noted(path) == [*range(6)]


def test_a_job_that_waits_for_a_map_of_its_own_ends_on_a_single_engine(engine, moi):
    assert mapped(mapped_items.map_below, [3], moi=moi).results(SOON) == [[3, 2, 1]]


def test_results_are_of_the_jobs_directly_in_the_group(cluster):
    group = mapped(abs, [-1, -2])
    other = mapped(abs, [-3], owner=group)
    elsewhere = mapped(abs, [-4])
    group.add(*elsewhere.jobs())
    assert group.results(SOON) == [1, 2] and other.results(SOON) == [3]
    [job, _] = [Job(job.info) for job in group.jobs() if job.info.parent == group.id]
    assert job.wait(SOON).state is State.SUCCESS
    job.remove()
    assert group.results(SOON) == [2]
