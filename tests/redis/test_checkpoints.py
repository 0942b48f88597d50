"""The checkpoint of a job: kept while it may be of use, for that job and its retry alone."""

import pytest

from moi_django.models import State
from moi_django.store import Store, StoreConfig
from tests.helpers.queues import claim, job_for, queued_job
from tests.helpers.records import finish, new_group
from tests.helpers.redis_keys import everything, lifetime


@pytest.fixture
def root(store):
    return store.users.enrol("ada", new_group)


def begin(store, root, **fields):
    """Let a job wait, and take it; return it as it runs."""
    queued_job(store, root, **fields)
    return claim(store).info


def keep(store, info, json):
    store.artifacts.save_checkpoint(info.id, info.attempt, json)


def kept(store, info):
    return store.connection.redis.get(store.keys.checkpoint(info.id))


def requeue(store, info, state=State.FAILED):
    return store.jobs.change(info.id, lambda present: present.requeued(state, "it failed"))


def test_the_next_attempt_is_handed_what_the_last_has_kept(store, root):
    info = begin(store, root, attempts=3)
    for json in ("1", '{"at": [2]}'):
        keep(store, info, json)
    requeue(store, info)
    second = store.queue.claim_by_id(store.jobs.get(info.id), "two", "2026-01-02 10:00:00.000000")
    assert second.info.attempt == 2 and second.checkpoint == b'{"at": [2]}'
    other = queued_job(store, root)
    assert claim(store) == (store.jobs.get(other.id), b"payload", None)


def test_who_asks_again_gets_it_again(store, root):
    info = begin(store, root, attempts=2)
    keep(store, info, "1")
    requeue(store, info)
    claims = [claim(store, token="same") for _ in range(2)]
    assert claims[0] == claims[1] and claims[0].checkpoint == b"1"


def test_an_attempt_that_others_follow_keeps_nothing(store, root):
    info = begin(store, root, attempts=2)
    keep(store, info, "1")
    requeue(store, info, State.LOST)  # and its engine is only slow
    keep(store, info, "2")
    second = claim(store)
    keep(store, info, "3")
    assert second.checkpoint == kept(store, info) == b"1"


def test_success_drops_it_for_good(store, root):
    info = begin(store, root)
    keep(store, info, "1")
    finish(store, info)
    assert kept(store, info) is None
    keep(store, info, "2")
    assert kept(store, info) is None


@pytest.mark.parametrize("state", [State.FAILED, State.LOST, State.CANCELLED])
def test_what_did_not_succeed_may_say_last_where_it_was(store, root, state):
    info = begin(store, root)
    finish(store, info, state)
    keep(store, info, "1")
    assert kept(store, info) == b"1"


def test_nothing_is_kept_of_what_is_gone(store, root):
    info = begin(store, root)
    keep(store, info, "1")
    store.jobs.remove_if_empty(info.id)
    keep(store, info, "2")
    assert not {key for key in everything(store) if key.startswith(info.id)}


def retry_alone(store, old, new):
    assert store.jobs.create_instead(old.id, new, b"payload", 0, "") is False


def retry_with_others(store, old, new):
    assert store.batches.create_instead([(store.jobs.get(old.id), new, b"payload")]) == [True]


@pytest.mark.parametrize("retry", [retry_alone, retry_with_others])
def test_a_retry_takes_it_over(store, root, retry):
    old = begin(store, root)
    keep(store, old, '"here"')
    finish(store, old, State.FAILED)
    retry(store, old, new := job_for(root))
    assert kept(store, old) is None
    assert 0 < store.connection.redis.ttl(store.keys.checkpoint(new.id)) <= store.config.expire
    keep(store, old, '"too late"')
    assert kept(store, old) is None
    claimed = claim(store)
    assert (claimed.info.id, claimed.checkpoint) == (new.id, b'"here"')


def test_a_retry_without_one_has_none(store, root):
    old = finish(store, begin(store, root), State.FAILED)
    retry_alone(store, old, job_for(root))
    assert claim(store).checkpoint is None


def test_a_retry_that_comes_too_late_leaves_it_with_the_first(store, root):
    old = begin(store, root)
    keep(store, old, "1")
    finish(store, old, State.FAILED)
    before = store.jobs.get(old.id)
    retry_alone(store, old, first := job_for(root))
    assert store.batches.create_instead([(before, second := job_for(root), b"payload")]) == [False]
    assert (kept(store, first), kept(store, second)) == (b"1", None)


def test_what_is_no_text_in_redis_is_none_and_holds_up_nothing(store, root):
    job = queued_job(store, root)
    store.connection.redis.lpush(store.keys.checkpoint(job.id), "x")
    assert claim(store) == (store.jobs.get(job.id), b"payload", None)
    keep(store, store.jobs.get(job.id), "1")
    assert kept(store, job) == b"1"


def test_it_lives_as_long_as_its_job(redis_server, moi):
    store = Store(StoreConfig(redis_server.url, moi["KEY_PREFIX"], expire=10_000))
    info = begin(store, store.users.enrol("ada", new_group), attempts=2)
    keep(store, info, "1")
    redis, key = store.connection.redis, store.keys.checkpoint(info.id)
    for renew in (
        lambda: store.queue.renew(info),
        store.queue.renew_unfinished,
        lambda: requeue(store, info),
        lambda: claim(store),
    ):
        redis.expire(key, 5_000)
        renew()
        assert lifetime(store, key, 10_000) == 10_000
    store.artifacts.delete_all(info.id)
    assert not redis.exists(key)
    store.connection.disconnect()
