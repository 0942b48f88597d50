"""Whatever happens to a job in whatever order, what Redis holds about it is of one piece."""

import dataclasses
import json
from collections import Counter
from functools import partial

import hypothesis.strategies as st
import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model
from hypothesis import HealthCheck, given, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

from moi_django import Group, Options
from moi_django.cluster import dispatch
from moi_django.cluster.payloads import sign_payload
from moi_django.contrib.monitoring.statistics import Statistics
from moi_django.engine.payloads import Payload
from moi_django.exceptions import JobNotFound
from moi_django.models import Info, State, now
from moi_django.site_store import get_store as site_store
from moi_django.store.queue import Worker
from tests.helpers.records import mark_retried, new_job
from tests.helpers.websocket import close_code, connected, hear, say

pytestmark = pytest.mark.django_db(transaction=True)
RETRIES = 2
workers = st.sampled_from([Worker("default:", "one"), Worker("default:", "two")])
tokens = st.sampled_from(["a", "b", "c"])
RANK = {State.QUEUED: 0, State.RUNNING: 1}


# A moment that has passed when anybody looks.
AT_ONCE = 1e-6
delays = st.sampled_from([0.0, AT_ONCE])


def ended_attempt(attempt, ok, info):
    """Return what the engine makes of a job whose attempt has ended."""
    if (info.state, info.attempt) != (State.RUNNING, attempt):
        return None
    used = {"cpu_seconds": 0.5, "peak_memory": 1000}
    if ok or info.attempt == info.attempts:
        return info.ended(State.SUCCESS if ok else State.FAILED, result=1, **used)
    return info.changed(**used).requeued(State.FAILED, "it failed")


def ended(store):
    """Return how many jobs have ended in each state."""
    return sum(
        (
            Counter(minute.jobs)
            for _, minute in Statistics(store.connection).completed_by_minute(60)
        ),
        Counter(),
    )


class Life(RuleBasedStateMachine):
    """Does to one job what engines, reconcilers and users do."""

    def __init__(self, store, group, keeps):
        super().__init__()
        self.store, self.group, self.keeps = store, group, keeps
        self.job = new_job(self.group.info, context="default", attempts=RETRIES + 1)
        payload = Payload(b"call", Options(retries=RETRIES), "default")
        self.payload = sign_payload(self.job, payload)
        self.store.jobs.create(self.job, self.payload)
        self.seen = self.store.jobs.get(self.job.id)
        self.held: dict[str, Info] = {}
        self.starts = set()
        self.ended_before = ended(self.store)
        self.ends: set[State] = set()

    @property
    def info(self):
        return self.store.jobs.get(self.job.id)

    def take(self, worker, claim):
        """Note what an engine has got."""
        if claim is not None:
            assert (claim.info.id, claim.info.engine) == (self.job.id, worker.engine)
            assert claim.payload == self.payload
            self.held[worker.engine] = claim.info

    @rule(worker=workers, token=tokens, leaves=st.booleans())
    def an_engine_takes_it(self, worker, token, leaves):
        self.take(worker, self.store.queue.claim(worker, token, now(), leaves))

    @rule(worker=workers)
    def an_engine_that_waits_for_it_takes_it(self, worker):
        self.take(worker, self.store.queue.claim_by_id(self.info or self.job, worker.engine, now()))

    @rule(worker=workers, token=tokens)
    def an_engine_asks_twice(self, worker, token):
        first, second = (self.store.queue.claim(worker, token, now()) for _ in range(2))
        assert first == second
        self.take(worker, first)

    @rule(worker=workers, ok=st.booleans(), delay=delays)
    def an_engine_ends_it(self, worker, ok, delay):
        if before := self.held.get(worker.engine):
            end = partial(ended_attempt, before.attempt, ok)
            with_none_if_gone(partial(self.store.jobs.change, self.job.id, end, delay=delay))

    @rule(worker=workers, ok=st.booleans(), delay=delays, token=tokens)
    def an_engine_ends_it_and_asks_for_more(self, worker, ok, delay, token):
        if before := self.held.get(worker.engine):
            after = ended_attempt(before.attempt, ok, before)
            is_free = self.info == before
            is_written, claim = self.store.queue.replace_and_claim(
                before, after, delay, worker, token, now()
            )
            assert is_written == is_free
            self.take(worker, claim)

    @rule(text=st.text(max_size=5))
    def it_says_something(self, text):
        with_none_if_gone(
            self.store.jobs.change, self.job.id, lambda info: info.changed(status=text or "x")
        )

    @rule(attempt=st.integers(1, RETRIES + 1))
    def its_engine_is_lost(self, attempt):
        dispatch.mark_lost(self.job.id, attempt, "lost")

    @rule()
    def it_is_cancelled(self):
        with_none_if_gone(self.store.jobs.cancel, self.job.id)

    @rule(new=st.sampled_from(["new", "newer"]))
    def it_is_retried(self, new):
        before = self.info
        is_free = before is not None and before.finished and not before.retried
        assert mark_retried(self.store, self.job.id, new) == is_free

    @rule()
    def it_comes_due(self):
        for attempt in self.store.queue.due():
            assert self.store.queue.enqueue(attempt, self.info or self.job)

    @rule()
    def its_lease_is_renewed(self):
        info = self.info
        is_running = info is not None and info.state is State.RUNNING
        assert self.store.queue.renew(info or self.job) == is_running

    @precondition(lambda self: self.seen is not None)
    @rule()
    def it_is_removed(self):
        self.store.tree.remove(self.job.id)

    @invariant()
    def time_only_goes_forward(self):
        before, info = self.seen, self.info
        if before is None:
            assert info is None
            return
        if info is not None:
            assert info.version >= before.version
            assert 1 <= before.attempt <= info.attempt <= info.attempts
            if before.finished:
                assert before.retried in (None, info.retried)
                marked = {"version": info.version, "retried": info.retried}
                assert info == dataclasses.replace(before, **marked)
            if info.attempt == before.attempt and not info.finished:
                assert RANK[info.state] >= RANK[before.state]
        self.seen = info

    @invariant()
    def an_attempt_starts_once(self):
        info = self.info
        if info is not None and info.state is State.RUNNING:
            self.starts.add((info.attempt, info.engine, info.date_start))
        attempts = [attempt for attempt, _, _ in self.starts]
        assert len(attempts) == len(set(attempts))

    @invariant()
    def it_is_in_the_zset_of_its_state_and_in_no_other(self):
        info, keys = self.info, self.store.keys
        job = info or self.job
        held = [
            key
            for key in (keys.waiting(job.queue), keys.delayed, keys.running)
            for member in self.store.connection.redis.zrange(key, 0, -1)
            if member.decode().endswith(job.id)
        ]
        state = info.state if info else None
        if state is State.RUNNING:
            assert held == [self.store.keys.running]
        elif state is State.QUEUED:
            assert held in ([self.store.keys.waiting(job.queue)], [self.store.keys.delayed])
        else:
            assert held == []

    @invariant()
    def its_function_is_kept_as_long_as_it_may_be_run(self):
        info = self.info
        may_run = info is not None and info.state is not State.SUCCESS and not info.retried
        kept = may_run and (self.keeps or not info.finished)
        assert (self.store.jobs.payload(self.job.id) is not None) == kept

    @invariant()
    def its_group_counts_it(self):
        counted = [job.info.counted_as for job in Group.get(self.group.id).jobs()]
        assert self.store.tree.totals(self.group.id) == {
            state: counted.count(state) for state in set(counted)
        }

    @invariant()
    def the_indices_have_it_in_its_state(self):
        info = self.info
        indices = (self.store.keys.jobs, self.store.keys.owner_jobs(self.group.info.owner))
        held = {
            key: self.store.connection.redis.zscore(key, self.job.id) is not None
            for key in (*indices, *map(self.store.keys.jobs_in_state, State))
        }
        mine = (*indices, self.store.keys.jobs_in_state(info.state)) if info else ()
        assert held == {key: key in mine for key in held}

    @invariant()
    def its_end_is_counted_once(self):
        info = self.info
        if info is not None and info.finished:
            self.ends.add(info.state)
        counted = ended(self.store) - self.ended_before
        assert counted == dict.fromkeys(self.ends, 1)

    def teardown(self):
        self.store.tree.remove(self.job.id)
        assert (
            list(self.store.connection.redis.scan_iter(f"{self.store.config.prefix}{self.job.id}*"))
            == []
        )


def with_none_if_gone(operation, *args):
    """Do something that a job may be gone for."""
    try:
        return operation(*args)
    except JobNotFound:
        return None


@pytest.mark.parametrize("keeps", [True, False])
def test_a_job_lives_one_life(moi, keeps):
    """Be its function short enough to be kept for a retry or not."""
    if not keeps:
        moi["RETRY_PAYLOAD_LIMIT"] = 10
    store, group = site_store(), Group.create("no-user", "lives")
    run_machine(
        lambda: Life(store, group, keeps),
        settings=settings(
            max_examples=30,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=20,
)
verbs = st.sampled_from(
    ["get", "remove", "cancel", "retry", "watch", "live", "close", "__init__", ""]
)
hostile = st.one_of(
    st.text(max_size=50),
    values.map(json.dumps),
    st.dictionaries(verbs, values, max_size=3).map(json.dumps),
    st.builds(lambda verb, depth: f'{{"{verb}": {"[" * depth}', verbs, st.integers(0, 5000)),
)


def test_whatever_a_client_sends_others_do_not_notice(server, moi, store):
    moi.update(VERBS_PER_SECOND=10_000, VERBS_BURST=10_000)
    users = [get_user_model().objects.create_user(name) for name in ("eve", "ada")]
    root = Group.of(users[1])

    async def attack(texts):
        async with connected(server, users[1]) as watching:
            await say(watching, "get", [])
            assert (await hear(watching))[1]["id"] == root.id
            async with connected(server, users[0]) as attacker:
                for text in texts:
                    await attacker.send(text)
                await say(attacker, "close", None)
                assert await close_code(attacker) in (1000, 4400)
            await say(watching, "get", [])
            assert (await hear(watching))[1]["id"] == root.id

    # The connection is too old for a verb that closes it to be among them.
    sent = st.lists(hostile.filter(lambda text: '"close"' not in text), max_size=15)

    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    @given(texts=sent)
    def attacked(texts):
        async_to_sync(attack)(texts)

    attacked()
