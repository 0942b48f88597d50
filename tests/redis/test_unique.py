"""A unique key: of an owner's jobs that have it, one at most is unfinished."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import pytest
from django.db import connections, transaction

from moi_django import Group, Job, Options, ctx_default, submit
from moi_django.exceptions import DuplicateJob, InvalidJob
from moi_django.models import State
from moi_django.store import Store
from tests.helpers.queues import claim, job_for, queued_job
from tests.helpers.records import finish, new_group
from tests.site import work

RACERS = 4
KEY = Options(unique="report")
STRICT = Options(unique="report", on_duplicate="raise")


def report(owner="ada", options=KEY):
    return submit(ctx_default, owner, "report", None, work.triple, 1, options=options)


def report_in_thread():
    """Submit without leaving a connection to the database behind."""
    try:
        return report()
    finally:
        connections.close_all()


def create_several(config, root, number):
    """Create jobs of one key from this process; return the ids of those that there are."""
    store, created = Store(config), []
    for _ in range(number):
        job = job_for(root, unique="the same")
        try:
            store.jobs.create(job, b"payload")
        except DuplicateJob:
            continue
        created.append(job.id)
    store.connection.disconnect()
    return created


def test_of_many_processes_one_creates_it(store):
    root = store.users.enrol("ada", new_group)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(RACERS, mp_context=spawn) as pool:
        rounds = [pool.submit(create_several, store.config, root, 20) for _ in range(RACERS * 2)]
        created = [id for each in rounds for id in each.result()]
    assert len(created) == 1
    assert [each.id for each in store.queue.first_waiting("lab:3.11")] == created


@pytest.mark.django_db(transaction=True)
def test_of_many_threads_all_get_the_same_job(moi, store):
    with ThreadPoolExecutor(8) as pool:
        jobs = list(pool.map(lambda _: report_in_thread(), range(40)))
    assert len({job.id for job in jobs}) == 1
    assert [job.id for job in Group.of("ada").jobs()] == [jobs[0].id]


@pytest.mark.django_db(transaction=True)
def test_it_counts_while_the_job_is_unfinished_and_for_one_owner(moi, store):
    first = report()
    group = Group.create("ada", "a group")
    assert report(group) == first != report("bob")
    assert report(options=Options(unique="other")) != first
    with pytest.raises(InvalidJob, match=f"{first.id} is unfinished.*'report'"):
        report(options=STRICT)
    finish(store, first.info)
    second = report(group)
    assert second != first and second.info.parent == group.id
    second.remove()
    third = report(options=STRICT)
    # As it may be when nobody has renewed it.
    store.connection.redis.delete(store.keys.info(third.id))
    assert report(options=STRICT) not in (first, second, third)


@pytest.mark.django_db(transaction=True)
def test_one_that_runs_or_is_to_be_run_again_is_unfinished(store):
    root = store.users.enrol("ada", new_group)
    job = queued_job(store, root, unique="key", attempts=2)
    other = job_for(root, unique="key")
    running = claim(store).info
    for _ in range(2):
        with pytest.raises(DuplicateJob) as refusal:
            store.jobs.create(other, b"payload")
        assert refusal.value.id == job.id
        store.jobs.change(running.id, lambda info: info.requeued(State.FAILED, "why"), delay=60)
    store.jobs.cancel(job.id)
    store.jobs.create(other, b"payload")


@pytest.mark.django_db(transaction=True)
def test_one_submitted_in_a_transaction_becomes_the_one_that_is_there_at_the_commit(moi, store):
    with transaction.atomic():
        job = report()
        id = job.id
        there = Job.get(submit_elsewhere())
        assert store.jobs.get(id) is None
    assert job == there and job.info == there.info and job.id != id


def submit_elsewhere():
    """Submit in another thread, which has no transaction."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(report_in_thread).result().id


@pytest.mark.django_db(transaction=True)
def test_a_retry_takes_the_key_over_unless_another_has_it(moi, store):
    old = report()
    finish(store, old.info, State.FAILED)
    other = report()
    with pytest.raises(InvalidJob, match=f"{other.id} is unfinished.*'report'"):
        old.retry()
    assert old.refresh().info.retried is None
    finish(store, other.info, State.FAILED)
    new = old.retry()
    assert report() == new and new.info.unique == "report"
    with pytest.raises(InvalidJob, match=new.id):
        other.retry()
    finish(store, new.info, State.FAILED)
    # One of the two is retried, and then has the key.
    [newest] = Group.of("ada").retry()
    assert report() == newest


def test_a_key_lasts_as_long_as_its_job_is_unfinished(store):
    root = store.users.enrol("ada", new_group)
    redis, key = store.connection.redis, store.keys.unique(root.id, "key")
    job = queued_job(store, root, unique="key")
    redis.expire(key, 50)
    store.queue.renew_unfinished()
    assert redis.ttl(key) > 50
    redis.expire(key, 50)
    running = claim(store).info
    assert store.queue.renew(running) and redis.ttl(key) > 50
    assert running.id == job.id


@pytest.mark.parametrize("key", ["", "x" * 201, "a\nb", 7])
def test_what_can_be_no_key_is_refused(key):
    with pytest.raises(InvalidJob, match="unique"):
        Options(unique=key)
    with pytest.raises(InvalidJob, match="on_duplicate"):
        Options(on_duplicate=key)
