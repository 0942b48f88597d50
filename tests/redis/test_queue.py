"""Jobs wait in Redis until an engine takes them: each attempt once, in order, whatever its name."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import chain
from types import SimpleNamespace

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from moi_django.engine import worker as worker_module
from moi_django.engine.attempt_runner import Resources
from moi_django.exceptions import StoreUnavailable
from moi_django.models import Attempt, State, now
from moi_django.store import Store, StoreConfig
from moi_django.store.connection import CONNECTION_OPTIONS
from moi_django.store.logs import OutputPiece
from moi_django.store.queue import QueuedAttempt, Worker
from moi_django.validation import is_id
from tests.helpers.processes import wait_for
from tests.helpers.queues import QUEUE, claim, claim_all, job_for, queued_job, stand_first
from tests.helpers.records import mark_retried, new_group
from tests.helpers.redis_keys import everything, lifetime

DATE = "2026-01-02 10:00:00.000000"
ONE, TWO = Worker(QUEUE, "one"), Worker(QUEUE, "two")


@pytest.fixture
def root(store):
    return store.users.enrol("ada", new_group)


def running(info, engine="one", date=DATE):
    """Return what a claim makes of a queued job."""
    return info.changed(state=State.RUNNING, status="Running", date_start=date, engine=engine)


def requeued(info):
    return info.requeued(State.FAILED, "it failed")


# What a claim does


def test_a_claim_hands_out_the_job_and_its_payload(store, root):
    group = new_group("group", root)
    store.jobs.create(group)
    job = queued_job(store, group)
    with store.connection.subscribe(store.keys.channel(job.id)) as pubsub:
        assert pubsub.get_message(timeout=30)["type"] == "subscribe"
        info, payload, checkpoint = store.queue.claim(ONE, "token", DATE)
        assert pubsub.get_message(timeout=30)["data"] == f'{{"update": ["{job.id}"]}}'.encode()
    assert (info, payload, checkpoint) == (running(job), b"payload", None)
    assert store.jobs.get(job.id) == info
    assert store.tree.totals(root.id) == store.tree.totals("group") == {"running": 1}
    assert store.queue.running() == {QueuedAttempt(job.id, 1): 0}
    assert store.queue.first_waiting(QUEUE) == []
    indices = ["jobs", "jobs:running", f"{root.id}:all"]
    redis, prefix = store.connection.redis, store.config.prefix
    assert [redis.zrange(prefix + index, 0, -1) for index in indices] == [[job.id.encode()]] * 3
    assert redis.zcard(f"{prefix}jobs:queued") == 0


def test_every_key_that_a_claim_writes_expires(redis_server, moi):
    store = Store(StoreConfig(redis_server.url, moi["KEY_PREFIX"], expire=10_000))
    queued_job(store, store.users.enrol("ada", new_group))
    queued_job(store, store.users.enrol("ada", new_group))
    claim(store)
    claim_all(store, "two")
    prefix = store.config.prefix
    left = {lifetime(store, prefix + key, 10_000, 10_200) for key in everything(store)}
    assert left == {10_000, 10_200}
    store.connection.disconnect()


def test_who_asks_again_gets_the_same(store, root):
    first, second = queued_job(store, root), queued_job(store, root)
    claims = [claim(store, token="a") for _ in range(3)]
    assert claims == [claims[0]] * 3 and claims[0].info.id == first.id
    assert claims[0].payload == b"payload"
    assert claim(store, token="b").info.id == second.id
    assert store.tree.totals(root.id) == {"running": 2}


def test_a_claim_is_asked_for_until_redis_answers(store, root, monkeypatch):
    """A job that was handed out without its engine knowing would be lost, and has not begun."""
    monkeypatch.setattr(worker_module, "AWAY_TIMEOUT", 0.0)
    job, ask, unheard = queued_job(store, root), store.queue.claim, []

    def ask_unheard(*args):
        claimed = ask(*args)
        unheard.append(claimed)
        if len(unheard) < 3:
            raise StoreUnavailable("the answer got lost")
        return claimed

    monkeypatch.setattr(store.queue, "claim", ask_unheard)
    spec = SimpleNamespace(patience=30.0, turn=1.0)
    engine = worker_module._QueueWorker(Resources(spec, ONE, store, heartbeat=None, pool=None))
    assert engine._claim().info.id == job.id
    assert len(unheard) == 3


def test_who_asks_again_for_what_has_ended_gets_the_next(store, root):
    first, second = queued_job(store, root), queued_job(store, root)
    assert claim(store, token="a").info.id == first.id
    store.jobs.cancel(first.id)
    assert claim(store, token="a").info.id == claim(store, token="a").info.id == second.id


def test_an_engine_that_asks_again_leaves_all_the_same(store, root):
    job = queued_job(store, root)
    assert claim(store, token="a", leaves=True).info.id == job.id
    store.jobs.cancel(job.id)
    assert claim(store, token="a", leaves=True) is None
    assert store.queue.workers(QUEUE) == {}


def lose(store, job):
    store.jobs.change(job.id, running)
    store.jobs.change(job.id, lambda info: info.requeued(State.LOST, "lost"), delay=60)


def retry_elsewhere(store, job):
    store.jobs.cancel(job.id)
    mark_retried(store, job.id, "another")


@pytest.mark.parametrize(
    "go_on",
    [
        lambda store, job: store.tree.remove(job.id),
        lambda store, job: store.jobs.cancel(job.id),
        retry_elsewhere,
        lose,
        lambda store, job: store.queue.claim_by_id(job, TWO.engine, DATE),
        lambda store, job: store.connection.redis.set(store.keys.info(job.id), "{"),
        lambda store, job: store.connection.redis.set(
            store.keys.info(job.id), job.to_json().replace('"path":', '"old_path":')
        ),
    ],
    ids=["removed", "cancelled", "retried", "requeued", "running", "no JSON", "without a path"],
)
def test_what_is_not_to_be_run_is_skipped(store, root, go_on):
    job, following = queued_job(store, root), queued_job(store, root)
    go_on(store, job)
    # As if it still waited there.
    stand_first(store, job)
    before = store.jobs.get_raw_many([job.id])
    assert claim(store).info.id == following.id
    assert store.jobs.get_raw_many([job.id]) == before
    assert claim(store) is None


def test_a_payload_that_is_gone_is_none(store, root):
    job = queued_job(store, root)
    store.connection.redis.delete(store.keys.payload(job.id))
    assert claim(store) == (store.jobs.get(job.id), b"", None)


def test_two_engines_never_get_the_same(store, root):
    jobs = [job_for(root) for _ in range(500)]
    store.jobs.create_many([(job, b"x") for job in jobs])
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(partial(claim_all, store), map(str, range(8))))
    assert Counter(chain(*found)) == dict.fromkeys((job.id for job in jobs), 1)
    assert store.tree.totals(root.id) == {"running": 500}


texts = st.text(max_size=30) | st.sampled_from(
    [
        '"state":"queued"',
        '"},"status":"x","date_start":null,"engine":null',
        '\\","state":"queued","version":7,"attempt":1,',
        'a "quoted" word',
        "\\",
        "it's %1 \\\" %s",
        '\\\\"path":"a:b"',
        "é 🐍 \ud800".encode("utf-8", "replace").decode(),
    ]
)
# None is the name of a key.
ids = st.text(max_size=20).map("id {}".format).filter(lambda id: is_id(id) and ":" not in id)
attempts = st.builds(
    Attempt,
    st.integers(1, 9),
    st.sampled_from([State.FAILED, State.LOST]),
    st.just(DATE),
    st.just(DATE),
    texts,
    st.none() | st.floats(0, 1e6),
    st.none() | st.integers(0, 2**53),
)


def test_whatever_a_job_is_called_a_claim_changes_nothing_else(store):
    @settings(max_examples=300)
    @given(
        root=ids,
        name=texts,
        fields=st.fixed_dictionaries(
            {
                "url": st.none() | texts,
                "status": texts,
                "result": st.none() | texts,
                "context": texts,
                "python": st.none() | texts,
                "version": st.integers(1, 2**53 - 1),
                "attempt": st.integers(1, 20),
                "runs": st.lists(attempts, max_size=3).map(tuple),
            }
        ),
    )
    def claimed(root, name, fields):
        if (group := store.jobs.get(root)) is None:
            store.jobs.create(group := new_group(root))
        job = job_for(group, name, **fields)
        store.jobs.create(job, b"payload")
        info, payload, checkpoint = store.queue.claim(Worker(job.queue, "one"), job.id, DATE)
        assert (info, payload, checkpoint) == (running(job), b"payload", None)
        assert store.jobs.get(job.id) == info
        assert store.queue.renew(info)
        store.tree.remove(root)

    claimed()


# In which order


def test_jobs_come_in_the_order_of_their_creation(store, root):
    jobs = [job_for(root, f"job {number}") for number in range(2000)]
    store.jobs.create_many([(job, b"x") for job in jobs])
    assert store.queue.waiting_count("lab") == 2000
    assert store.queue.longest_waiting("lab") == jobs[0]
    assert claim_all(store) == [job.id for job in jobs]
    assert store.queue.waiting_count("lab") == 0


def test_engines_take_what_is_for_their_python_and_context(store, root):
    new, other = queued_job(store, root, python="3.12"), queued_job(store, root, context="other")
    assert store.queue.names() == ["lab:3.12", "other:3.11"]
    assert claim(store) is None
    assert [store.queue.waiting_count(context) for context in ("lab", "other")] == [1, 1]
    for job, queue in ((new, "lab:3.12"), (other, "other:3.11")):
        assert store.queue.claim(Worker(queue, "one"), job.id, DATE).info.id == job.id


def test_a_certain_job_is_taken_out_of_turn_and_once(store, root):
    first, second = queued_job(store, root), queued_job(store, root)
    claimed = store.queue.claim_by_id(second, ONE.engine, DATE)
    assert claimed == (running(second), b"payload", None)
    assert store.queue.claim_by_id(second, ONE.engine, DATE) == claimed  # its answer was lost
    assert store.queue.claim_by_id(second, TWO.engine, DATE) is None
    assert claim_all(store) == [first.id]


# Ends, and attempts that follow


def test_an_end_and_the_next_claim_are_one(store, root):
    first, second = queued_job(store, root), queued_job(store, root)
    before = claim(store).info
    after = before.ended(State.SUCCESS, result=1)
    for _ in range(2):  # the first answer was lost
        assert store.queue.replace_and_claim(before, after, 0, ONE, "a", DATE) == (
            True,
            (running(second), b"payload", None),
        )
    assert store.jobs.get(first.id) == after
    assert store.tree.totals(root.id) == {"success": 1, "running": 1}


def test_an_end_that_comes_too_late_is_not_written_and_the_next_is_claimed(store, root):
    job, second = queued_job(store, root), queued_job(store, root)
    before = claim(store).info
    cancelled, _ = store.jobs.cancel(job.id)
    after = before.ended(State.SUCCESS)
    is_written, claimed = store.queue.replace_and_claim(before, after, 0, ONE, "a", DATE)
    assert (is_written, claimed.info.id) == (False, second.id)
    assert store.jobs.get(job.id) == cancelled


def test_a_job_that_is_run_again_keeps_its_log_and_comes_last(store, root):
    job, second = queued_job(store, root, attempts=2), queued_job(store, root)
    before = claim(store).info
    log = store.logs.open(job.id)
    log.append([OutputPiece("stdout", "first\n")], 1000)
    _, claimed = store.queue.replace_and_claim(before, requeued(before), 0, ONE, "a", DATE)
    assert claimed.info.id == second.id
    again = claim(store, "two").info
    assert (again.id, again.attempt, again.engine, len(again.runs)) == (job.id, 2, "two", 1)
    assert [entry.piece.text for entry in log.read_all()] == ["first\n"]
    assert store.queue.renew(before) is False
    assert store.queue.renew(again) is True


def test_a_delayed_attempt_waits_when_its_time_has_come(store, root):
    job = queued_job(store, root, attempts=2)
    before = claim(store).info
    assert store.queue.replace_and_claim(before, requeued(before), 0.05, ONE, "a", DATE) == (
        True,
        None,
    )
    assert (store.queue.delayed_count(), store.queue.waiting_count("lab")) == (1, 0)
    [due] = wait_for(store.queue.due)
    assert due == QueuedAttempt(job.id, 2)
    assert [store.queue.enqueue(due, job) for _ in range(2)] == [True, False]
    assert claim(store).info.attempt == 2


# Who is called, and who is woken


def create(store, root, engines, call):
    return store.jobs.create(job_for(root), b"payload", engines, call)


def test_an_engine_is_called_while_there_is_one_without_work(store, root):
    assert [create(store, root, 2, f"call:{n}") for n in range(4)] == [True, True, False, False]
    assert store.queue.workers(QUEUE) == {"call:0": 0, "call:1": 0}
    store.queue.claim(Worker(QUEUE, "one", "call:0"), "a", DATE)
    assert store.queue.workers(QUEUE).keys() == {"one", "call:1"}
    assert create(store, root, 2, "call:4") is False
    assert create(store, root, 3, "call:5") is True


def test_where_no_engine_is_none_is_called(store, root):
    assert create(store, root, 0, "call:0") is False
    assert store.queue.workers(QUEUE) == {}


def test_an_engine_that_lingers_is_woken_once_and_none_is_called(store, root):
    assert claim(store) is None
    assert create(store, root, 9, "call:0") is False
    assert store.queue.linger(ONE, 5) is True
    assert store.queue.linger(ONE, 0.01) is False
    assert len(claim_all(store)) == 1
    with ThreadPoolExecutor(1) as pool:
        woken = pool.submit(store.queue.linger, ONE, 20)
        assert create(store, root, 9, "call:1") is False
        assert woken.result(10) is True


def test_each_job_wakes_one_engine_and_those_beyond_call(store, root):
    assert claim(store, "one") is claim(store, "two") is None
    assert [create(store, root, 3, f"call:{n}") for n in range(4)] == [False, False, True, False]
    assert [store.queue.linger(each, 0.01) for each in (ONE, TWO, ONE)] == [True, True, False]


def test_a_job_that_is_run_again_wakes_an_engine(store, root):
    queued_job(store, root, attempts=3)
    first = claim(store).info
    claim(store, "two")
    second = store.jobs.change(first.id, requeued)
    assert store.queue.linger(TWO, 5) is True
    started = claim(store, "two").info
    assert started.version == second.version + 1
    claim(store, "one")
    store.jobs.change(first.id, requeued, delay=0.01)
    assert store.queue.enqueue(wait_for(store.queue.due)[0], second)
    assert store.queue.linger(ONE, 5) is True


def test_calls_are_noted_for_what_waits_as_far_as_there_are_engines(store, root):
    for _ in range(5):
        queued_job(store, root)
    assert store.queue.note_calls(QUEUE, 3, 9, "call:a") == [f"call:a:{n}" for n in (1, 2, 3)]
    assert store.queue.note_calls(QUEUE, 3, 9, "call:b") == []
    assert store.queue.leave(QUEUE, "call:a:2") == 5
    assert store.queue.note_calls(QUEUE, 3, 9, "call:c") == ["call:c:1"]
    assert store.queue.workers(QUEUE) == dict.fromkeys(["call:a:1", "call:a:3", "call:c:1"], 0)


def test_no_more_are_called_than_jobs_wait_that_nobody_is_woken_for(store, root):
    assert store.queue.note_calls(QUEUE, 9, 9, "call:a") == []
    claim(store, "lingers")
    queued_job(store, root)
    assert store.queue.note_calls(QUEUE, 9, 9, "call:a") == []
    queued_job(store, root)
    assert store.queue.note_calls(QUEUE, 9, 9, "call:a") == ["call:a:1"]
    assert store.queue.note_calls(QUEUE, 1, 9, "call:b") == []


def test_an_engine_leaves(store, root):
    claim(store)
    assert store.queue.workers(QUEUE) == {"one": 0}
    assert store.queue.leave(QUEUE, "one") == 0
    assert store.queue.workers(QUEUE) == {}
    assert create(store, root, 1, "call:a") is True  # nobody lingers
    assert claim(store, leaves=True) is not None
    assert store.queue.workers(QUEUE).keys() == {"one", "call:a"}
    assert claim(store, leaves=True) is None
    assert store.queue.workers(QUEUE).keys() == {"call:a"}


def test_only_who_is_at_a_queue_renews_its_lease_there(store):
    store.queue.renew_worker(ONE)
    assert store.queue.workers(QUEUE) == {}
    claim(store)
    store.queue.renew_worker(ONE)
    store.queue.renew_worker(ONE)
    claim(store)
    assert store.queue.workers(QUEUE) == {"one": 2}


def test_an_engine_may_linger_for_longer_than_an_answer_may_take(redis_server, moi, monkeypatch):
    monkeypatch.setitem(CONNECTION_OPTIONS, "socket_timeout", 4.0)
    store = Store(StoreConfig(redis_server.url, moi["KEY_PREFIX"]))
    assert store.queue.linger(ONE, 4.5) is False
    store.connection.disconnect()


def test_nothing_is_kept_of_engines_that_have_left(store, root):
    for engine in ("leaves", "is gone"):
        queued_job(store, root)
        claim(store, engine)
    assert store.connection.redis.hlen(store.keys.claims) == 2
    claim(store, "leaves", leaves=True)
    store.queue.leave(QUEUE, "is gone")
    assert store.connection.redis.hlen(store.keys.claims) == 0


# What is unfinished never expires


def test_what_is_unfinished_never_expires(redis_server, moi):
    store = Store(StoreConfig(redis_server.url, moi["KEY_PREFIX"], expire=10_000))
    root = store.users.enrol("ada", new_group)
    store.jobs.create(group := new_group("group", root))
    for attempts in (1, 3):
        queued_job(store, group, attempts=attempts)
        store.logs.open(claim(store).info.id).append([OutputPiece("stdout", "x")], 1000)
    store.jobs.change(claim_delayed(store), requeued, delay=60)
    queued_job(store, group)
    redis, prefix = store.connection.redis, store.config.prefix
    for key in everything(store):
        redis.expire(prefix + key, 5_000)
    store.queue.renew_unfinished()
    left = {key for key in everything(store) if lifetime(store, prefix + key, 5_000) == 5_000}
    assert left == {f"workers:{QUEUE}", "claims"}  # of engines, which renew them
    store.connection.disconnect()


def claim_delayed(store):
    """Return the id of the one that may be run again."""
    infos = store.jobs.get_many([attempt.id for attempt in store.queue.running()])
    [id] = [info.id for info in infos if info.attempts > 1]
    return id


def test_a_lease_renews_all_that_belongs_to_a_job(redis_server, moi):
    store = Store(StoreConfig(redis_server.url, moi["KEY_PREFIX"], expire=10_000))
    root = store.users.enrol("ada", new_group)
    job = queued_job(store, root)
    info = claim(store).info
    redis = store.connection.redis
    keys = [store.keys.info(job.id), store.keys.payload(job.id), store.keys.running]
    keys += store.keys.ancestors(info)
    for key in keys:
        redis.expire(key, 5_000)
    assert store.queue.renew(info) is True
    assert [lifetime(store, key, 10_000) for key in keys] == [10_000] * len(keys)
    store.connection.disconnect()


def test_a_creation_whose_answer_was_lost_is_none_of_another_job(store, root):
    job = queued_job(store, root)
    claim(store)
    store.jobs.create(job, b"payload")  # it runs by now
    assert store.tree.totals(root.id) == {"running": 1}
    with pytest.raises(ValueError, match="taken"):
        store.jobs.create(replace(job, date_created=now()), b"payload")
