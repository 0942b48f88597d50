"""What Redis holds about the jobs of all users and about engines."""

import os
import socket

import psutil
import pytest

from moi_django import Group
from moi_django.contrib.monitoring.job_index import IndexPosition, JobIndex
from moi_django.contrib.monitoring.statistics import Completed, Statistics
from moi_django.engine import metrics as metrics_module
from moi_django.engine.metrics import MetricsSampler
from moi_django.models import State
from moi_django.store.engines import EngineMetrics
from tests.helpers.records import finish, job_in, many_jobs_in

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def groups(moi, store):
    return [Group.of("ada"), Group.of("bob")]


def names(found):
    return [info.name for info in found[0]]


def read_all(store, key=None, count=3):
    """Return the names of all jobs of an index, read a few at a time."""
    read, place, is_last = [], None, False
    while not is_last:
        infos, place = JobIndex(store.connection, store.jobs).newest(
            key or store.keys.jobs, place, count
        )
        read += [info.name for info in infos]
        is_last = place is None
    return read


def test_jobs_of_all_users_are_found_the_newest_first(store, groups):
    jobs = [job_in(store, groups[number % 2], f"job {number}") for number in range(8)]
    assert read_all(store) == [job.name for job in reversed(jobs)]
    finish(store, jobs[2])
    finish(store, jobs[5])
    store.jobs.change(jobs[7].id, lambda info: info.changed(state=State.RUNNING))
    assert read_all(store, store.keys.jobs_in_state(State.SUCCESS), count=1) == ["job 5", "job 2"]
    assert read_all(store, store.keys.jobs_in_state(State.RUNNING)) == ["job 7"]
    queued = read_all(store, store.keys.jobs_in_state(State.QUEUED), count=2)
    assert queued == ["job 6", "job 4", "job 3", "job 1", "job 0"]
    inner = job_in(store, Group.create(Group.create(groups[1], "outer"), "inner"), "deep below")
    assert read_all(store, store.keys.owner_jobs(groups[1].id), count=2) == [
        *(inner.name, "job 7", "job 5", "job 3", "job 1")
    ]
    store.tree.remove(inner.id)
    assert Statistics(store.connection).count_by_state() == {
        **dict.fromkeys(map(str, State), 0),
        "queued": 5,
        "running": 1,
        "success": 2,
    }


def test_jobs_of_the_same_moment_are_read_once_each(store, groups):
    for number in range(10):
        job_in(store, groups[0], f"job {number}", date_created="2026-01-02 15:04:05.000006")
    assert sorted(read_all(store)) == [f"job {number}" for number in range(10)]


def test_a_place_is_kept_in_an_address(store):
    place = IndexPosition(1767366245.000006, "an:id")
    assert IndexPosition.from_text(str(place)) == place
    for odd in ("", "x", "x:y", "1.0:", ":", "nan:x", "inf:x"):
        assert IndexPosition.from_text(odd) is None


def test_what_has_expired_is_taken_out_when_it_is_met(store, groups):
    jobs = [job_in(store, groups[0], f"job {number}") for number in range(4)]
    finish(store, jobs[1])
    store.connection.redis.delete(
        store.keys.info(jobs[1].id), store.keys.info(jobs[2].id)
    )  # as when they have expired
    assert names(
        JobIndex(store.connection, store.jobs).newest(store.keys.owner_jobs(groups[0].id), None)
    ) == [
        "job 3",
        "job 0",
    ]
    assert Statistics(store.connection).count_by_state()["success"] == 0
    assert store.connection.redis.zcard(store.keys.owner_jobs(groups[0].id)) == 2
    assert store.connection.redis.zcard(store.keys.jobs) == 2


def test_what_has_expired_does_not_pile_up_though_nobody_looks(store, groups):
    for number in range(400):
        job = job_in(store, groups[0], f"job {number}")
        store.connection.redis.delete(store.keys.info(job.id))
    assert store.connection.redis.zcard(store.keys.jobs) < 50
    assert store.connection.redis.zcard(store.keys.owner_jobs(groups[0].id)) < 50
    assert Statistics(store.connection).count_by_state()["queued"] < 50


def test_an_end_is_counted_with_the_seconds_it_took(store, groups):
    def end(state, created, start, ended):
        job = job_in(store, groups[0], date_created=f"2026-01-02 10:00:{created}.000000")
        dates = {"date_start": start and f"2026-01-02 10:00:{start}.000000"}
        dates["date_end"] = f"2026-01-02 10:00:{ended}.500000"
        store.jobs.change(job.id, lambda info: info.changed(state=state, **dates))

    end(State.SUCCESS, 10, 12, 20)
    end(State.SUCCESS, 10, 14, 20)
    end(State.FAILED, 10, 11, 11)
    end(State.CANCELLED, 10, None, 30)
    # By clocks that do not agree.
    end(State.LOST, 30, 20, 10)
    total = Completed()
    first = int(store.connection.server_time() // 60)
    minutes = Statistics(store.connection).completed_by_minute(60)
    for _, ended in minutes:
        total.add(ended)
    assert total.jobs == {"success": 2, "failed": 1, "cancelled": 1, "lost": 1}
    assert (total.total, total.ran, total.waited) == (5, 8.5 + 6.5 + 0.5, 2 + 4 + 1 + 20.5)
    assert first <= minutes[-1][0] <= int(store.connection.server_time() // 60)
    assert [minute for minute, _ in minutes] == list(range(minutes[0][0], minutes[0][0] + 60))
    key = next(store.connection.redis.scan_iter(f"{store.config.prefix}ended:*"))
    assert 86_400 < store.connection.redis.ttl(key) <= 90_000


def test_what_is_removed_is_in_no_index(store, groups):
    jobs = many_jobs_in(store, groups[0], 10)
    finish(store, jobs[0])
    store.tree.remove(groups[0].id)
    assert store.connection.redis.exists(store.keys.jobs, store.keys.owner_jobs(groups[0].id)) == 0
    assert set(Statistics(store.connection).count_by_state().values()) == {0}


def test_a_process_is_measured(monkeypatch):
    monkeypatch.setattr(metrics_module, "CPU_WINDOW", 600.0)
    sampler = MetricsSampler("an engine")
    metrics = sampler.sample("lab", None, None)
    assert (metrics.engine, metrics.context, metrics.pid) == ("an engine", "lab", os.getpid())
    assert metrics.host == socket.gethostname()
    assert metrics.memory == pytest.approx(psutil.Process().memory_info().rss, rel=0.5)
    assert metrics.cpus == os.cpu_count()
    assert metrics.cpu is None  # it has not been measured for long enough
    assert metrics.load >= 0
    assert EngineMetrics.from_json(metrics.to_json().encode()) == metrics


def test_the_load_of_a_process_is_measured_over_some_time(monkeypatch):
    sampler = MetricsSampler("an engine")
    while (cpu := sampler.sample("lab", None, None).cpu) is None:
        pass  # it does nothing but this all the time
    assert 0 < cpu < 150
    monkeypatch.setattr(metrics_module, "CPU_WINDOW", 600.0)
    assert {sampler.sample("lab", None, None).cpu for _ in range(20)} == {cpu}


@pytest.mark.parametrize("odd", [None, b"", b"{", b"[]", b"7", b"{}", b"[" * 10_000])
def test_what_is_no_report_is_none(odd):
    assert EngineMetrics.from_json(odd) is None


def test_of_a_report_that_another_program_wrote_the_good_is_taken():
    raw = b'{"engine": "one", "pid": "x", "cpu": [], "memory": null, "load": 1, "more": 1}'
    assert EngineMetrics.from_json(raw) == EngineMetrics("one", load=1)


def test_a_report_is_kept_for_a_day(store):
    store.engines.report(EngineMetrics("one", host="a"))
    store.engines.report(EngineMetrics("two"))
    store.engines.report(EngineMetrics("one", host="b"))
    store.connection.redis.set(store.keys.engine("two"), "odd")
    [report] = store.engines.reports().values()
    assert report.metrics.host == "b"
    assert report.at == pytest.approx(store.connection.server_time(), abs=60)
    for key in (store.keys.engines, store.keys.engine("one")):
        assert 0 < store.connection.redis.ttl(key) <= 86_400
    store.connection.redis.zadd(store.keys.engines, {"one": 0.0})
    store.engines.report(EngineMetrics("two"))
    assert list(store.engines.reports()) == ["two"]
