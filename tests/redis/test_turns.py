"""Whose turn it is: owners, priorities, limits, pauses; compared with a model in plain Python."""

import uuid
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from math import ceil

import hypothesis.strategies as st
from hypothesis import HealthCheck, given, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

from moi_django.contrib.standings.queue_order import QueueOrders, Standing
from moi_django.models import State, now
from moi_django.store import Store, StoreConfig, policy
from moi_django.store.queue import Hold
from moi_django.store.scripts import USED_GUESS
from tests.helpers.queues import QUEUE, claim, claim_all, job_for, queued_job
from tests.helpers.records import new_group
from tests.helpers.redis_keys import everything

OWNERS = st.sampled_from(["ada", "bob", "cy", "dee"])
NAMED = st.sampled_from([None, None, "matlab", "gpu"])
PRIORITIES = st.sampled_from([0, 0, 0, 100, -100, 5])
SECONDS = st.sampled_from([0.0, 0.25, 1.0, 8.0, 3600.0])
ENDS = [State.SUCCESS, State.FAILED, State.LOST, State.CANCELLED]
BOUNDS = st.sampled_from([None, 0, 1, 2])


@dataclass
class Model:
    """The queue of one context, slowly."""

    is_fair: bool = True
    is_paused: bool = False
    # By "owner:<name>" and "limit:<name>".
    bounds: dict = field(default_factory=dict)
    # Id -> owner, limit, level, place; and of what runs, owner and limit.
    waiting: dict = field(default_factory=dict)
    # Id -> the arguments of `enqueue`, the parents it waits for; all parents and `on_failure`.
    blocked: dict = field(default_factory=dict)
    edges: dict = field(default_factory=dict)
    skipped: dict = field(default_factory=dict)
    running: dict = field(default_factory=dict)
    used: dict = field(default_factory=dict)
    floors: dict = field(default_factory=dict)
    places: count = field(default_factory=lambda: count(1))

    def enqueue(self, id, owner, limit, priority):
        level = -priority
        if owner not in {each[0] for each in [*self.waiting.values(), *self.running.values()]}:
            floor = self.floors.get(level, 0)
            if self.used.get(owner, 0) <= floor:
                self.used[owner], self.floors[level] = floor, floor + 1
        self.waiting[id] = (owner, limit, level, next(self.places))

    def block(self, id, args, after, on_failure, succeeded):
        self.edges[id] = (after, on_failure)
        self.blocked[id] = (args, set(after))
        ended = [each for each in after if not self.is_unfinished(each)]
        self.settle([(each, each in succeeded) for each in ended])

    def is_unfinished(self, id):
        return id in self.waiting or id in self.running or id in self.blocked

    def settle(self, ended):
        """Let go on, or end, what waits for some that have ended: (id, whether it succeeded)."""
        while ended:
            parent, has_succeeded = ended.pop(0)
            children = [id for id in self.blocked if parent in self.edges[id][0]]
            skipped = [id for id in children if not has_succeeded and self.edges[id][1] == "skip"]
            for id in skipped:
                del self.blocked[id]
                self.skipped[id] = parent
                ended.append((id, False))
            for id in [id for id in children if id not in skipped]:
                args, left = self.blocked[id]
                left.discard(parent)
                if not left:
                    del self.blocked[id]
                    self.enqueue(id, *args)

    def has_room(self, owner, limit):
        slots = {f"owner:{owner}": 0, f"limit:{limit}": 1}
        return all(
            self.bounds.get(slot) is None
            or sum(each[place] == slot.partition(":")[2] for each in self.running.values())
            < self.bounds[slot]
            for slot, place in slots.items()
        )

    def claim(self):
        heads = {}
        for id, (owner, limit, level, place) in self.waiting.items():
            if self.has_room(owner, limit):
                lane = (owner, limit)
                heads[lane] = min(heads.get(lane, (999, 0, "")), (level, place, id))
        if self.is_paused or not heads:
            return None

        def turn(lane):
            level, place, _ = heads[lane]
            is_in_turns = self.is_fair and level >= -100  # what is preferred is not
            return (level, self.used.get(lane[0], 0) if is_in_turns else place, place)

        lane = min(heads, key=turn)
        level, _, id = heads[lane]
        owner = lane[0]
        self.floors[level] = max(self.floors.get(level, 0), self.used.get(owner, 0))
        self.running[id] = lane
        del self.waiting[id]
        self.used[owner] = self.used.get(owner, 0) + USED_GUESS
        return id

    def end(self, id, seconds):
        self.used[self.running.pop(id)[0]] += seconds * 1000 - USED_GUESS

    def halve(self):
        least = min([*self.used.values(), *self.floors.values()], default=0)
        for all in (self.used, self.floors):
            all.update({key: round((value - least) / 2) for key, value in all.items()})

    def prefer(self, id):
        owner, limit, _, _ = self.waiting[id]
        self.waiting[id] = (owner, limit, -101, -next(self.places))


class Turns(RuleBasedStateMachine):
    """Does the same to the queue and to the model."""

    def __init__(self, config):
        super().__init__()
        self.store, self.model, self.jobs = Store(config), Model(), {}
        self.succeeded = set()

    @rule(owner=OWNERS, limit=NAMED, priority=PRIORITIES)
    def a_job_comes(self, owner, limit, priority):
        job = job_for(self.root_of(owner), limit=limit, priority=priority, attempts=99)
        self.jobs[job.id] = job
        self.store.jobs.create(job, b"payload")
        self.model.enqueue(job.id, owner, limit, priority)

    @precondition(lambda self: self.jobs)
    @rule(
        data=st.data(),
        owner=OWNERS,
        priority=PRIORITIES,
        on_failure=st.sampled_from(["skip", "run"]),
    )
    def a_job_comes_that_waits_for_others(self, data, owner, priority, on_failure):
        ids = st.lists(st.sampled_from([*self.jobs]), min_size=1, max_size=3, unique=True)
        after = tuple(data.draw(ids))
        job = job_for(
            self.root_of(owner),
            priority=priority,
            attempts=99,
            after=after,
            on_failure=on_failure,
            date_created=f"2026-01-02 10:00:{len(self.jobs) % 60:02}.{len(self.jobs):06}",
        )
        self.jobs[job.id] = job
        self.store.jobs.create(job, b"payload")
        self.model.block(job.id, (owner, None, priority), after, on_failure, self.succeeded)

    @precondition(lambda self: self.model.blocked)
    @rule(data=st.data())
    def one_that_waits_for_others_is_cancelled(self, data):
        blocked = self.one_of(data, self.model.blocked)
        self.store.jobs.cancel(blocked.id)
        del self.model.blocked[blocked.id]
        self.model.settle([(blocked.id, False)])

    @rule()
    def a_reconciler_looks(self):
        self.store.dependencies.review()
        self.store.dependencies.settle()

    @rule()
    def an_engine_claims(self):
        claimed = claim(self.store)
        assert (claimed and claimed.info.id) == self.model.claim()
        if claimed:
            self.jobs[claimed.info.id] = claimed.info

    @precondition(lambda self: self.model.running)
    @rule(data=st.data(), seconds=SECONDS, state=st.sampled_from(ENDS))
    def one_ends(self, data, seconds, state):
        running = self.one_of(data, self.model.running)
        end = date_after(running, seconds)
        self.model.end(running.id, seconds)
        if state is State.SUCCESS:
            self.succeeded.add(running.id)
        self.model.settle([(running.id, state is State.SUCCESS)])
        self.change(running.changed(state=state, status="x", date_end=end))

    @precondition(lambda self: self.model.running)
    @rule(data=st.data(), seconds=SECONDS)
    def one_is_to_be_run_again(self, data, seconds):
        running = self.one_of(data, self.model.running)
        owner, limit = self.model.running[running.id]
        again = running.requeued(State.LOST, "lost")
        attempt = replace(again.runs[-1], date_end=date_after(running, seconds))
        self.change(replace(again, runs=(attempt,)))
        self.model.end(running.id, seconds)
        self.model.enqueue(running.id, owner, limit, running.priority)

    @precondition(lambda self: self.model.waiting)
    @rule(data=st.data(), removes=st.booleans())
    def one_is_cancelled_or_removed(self, data, removes):
        waiting = self.one_of(data, self.model.waiting)
        if removes:
            self.store.tree.remove(waiting.id)
        else:
            self.store.jobs.cancel(waiting.id)
        del self.model.waiting[waiting.id]
        self.model.settle([(waiting.id, False)])

    @precondition(lambda self: self.model.waiting)
    @rule(data=st.data())
    def one_is_preferred(self, data):
        waiting = self.one_of(data, self.model.waiting)
        assert self.store.queue.prefer(waiting)
        self.model.prefer(waiting.id)

    @precondition(lambda self: self.model.waiting)
    @rule(data=st.data())
    def one_is_claimed_by_whom_it_is_waited_for(self, data):
        waiting = self.one_of(data, self.model.waiting)
        claimed = self.store.queue.claim_by_id(waiting, "one", now())
        self.jobs[waiting.id] = claimed.info
        owner, limit, _, _ = self.model.waiting.pop(waiting.id)
        self.model.running[waiting.id] = (owner, limit)
        self.model.used[owner] = self.model.used.get(owner, 0) + USED_GUESS

    @rule(pauses=st.booleans())
    def the_context_is_paused_or_goes_on(self, pauses):
        field = policy.paused("lab")
        (self.store.policy.start if pauses else self.store.policy.stop)(field)
        self.model.is_paused = pauses

    @rule(is_fair=st.booleans())
    def the_order_is_another(self, is_fair):
        self.store.policy.update({policy.FAIR: None if is_fair else "0"})
        self.store.queue.review(QUEUE)
        self.model.is_fair = is_fair

    @rule()
    def hours_pass(self):
        self.store.queue.review(QUEUE)
        self.store.connection.redis.hset(f"{self.store.keys.prefix}used:lab", "epoch", "1")
        self.store.queue.review(QUEUE)
        self.model.halve()

    @rule(owner=OWNERS, bound=BOUNDS)
    def an_owner_gets_a_limit(self, owner, bound):
        slot = policy.owner_slot("lab", self.root_of(owner).id)
        self.store.policy.update({slot: bound})
        self.store.queue.review(QUEUE)
        self.model.bounds[f"owner:{owner}"] = bound

    @rule(limit=NAMED, bound=BOUNDS)
    def a_limit_is_another(self, limit, bound):
        if limit:
            self.store.policy.update({policy.limit_slot(limit): bound})
            self.model.bounds[f"limit:{limit}"] = bound

    @invariant()
    def nothing_is_left_behind(self):
        redis, prefix = self.store.connection.redis, self.store.keys.prefix
        held = {*self.model.waiting, *self.model.running}
        assert {id_of(each) for each in redis.hkeys(f"{prefix}lanes")} == held
        assert self.store.queue.waiting_count("lab") == len(self.model.waiting)
        assert {each.id for each in self.store.dependencies.blocked()} == {*self.model.blocked}
        skipped = self.store.jobs.get_many(list(self.model.skipped))
        assert {each.id: each.failed_parent for each in skipped} == self.model.skipped
        assert {each.state for each in skipped} <= {State.CANCELLED}
        assert redis.llen(self.store.keys.ended_parents) == 0
        assert {each.id for each in self.store.queue.running()} == {*self.model.running}
        if not self.model.waiting:
            left = {key.split(":")[0] for key in everything(self.store)}
            assert not left & {"lane", "turns", "limits", "held"}
        if not self.model.running:
            assert not any(key.startswith("slots:") for key in everything(self.store))

    def root_of(self, owner):
        return self.store.users.enrol(owner, new_group)

    def one_of(self, data, ids):
        return self.jobs[data.draw(st.sampled_from([id for id in self.jobs if id in ids]))]

    def change(self, new):
        old = self.jobs[new.id]
        if (present := self.store.jobs.get(new.id)) != old:
            # The status of one that has waited for others.
            new, old = replace(new, status=new.status, version=present.version + 1), present
        call = self.store.jobs.replacement(old.to_json().encode(), old, new)
        [answer] = self.store.connection.run_scripts([call])
        assert answer in (1, 2)
        self.store.jobs.is_written(answer, new)
        self.jobs[new.id] = new

    def teardown(self):
        self.store.connection.disconnect()


def id_of(member):
    return member.decode().partition(":")[2]


def date_after(info, seconds):
    start = datetime.fromisoformat(info.date_start)
    return f"{start + timedelta(seconds=seconds):%Y-%m-%d %H:%M:%S.%f}"


def test_all_have_their_turns(redis_server, moi):
    numbers = count()

    def start():
        prefix = f"{moi['KEY_PREFIX']}{next(numbers)}:"
        return Turns(StoreConfig(redis_server.url, prefix))

    run_machine(start, settings=settings(max_examples=40, stateful_step_count=50, deadline=None))


@given(
    st.lists(st.tuples(OWNERS, NAMED, PRIORITIES), max_size=30),
    st.lists(SECONDS, max_size=5),
    st.booleans(),
)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_position_is_the_order_of_the_claims(redis_server, moi, jobs, ends, is_fair):
    store = Store(StoreConfig(redis_server.url, f"{moi['KEY_PREFIX']}{uuid.uuid4()}:"))
    store.policy.update({policy.FAIR: None if is_fair else "0"})
    for owner, limit, priority in jobs:
        root = store.users.enrol(owner, new_group)
        queued_job(store, root, limit=limit, priority=priority)
    for seconds in ends:
        if claimed := claim(store):
            info = claimed.info
            store.jobs.change(info.id, partial(ended_after, seconds))
    # As if the others took what is guessed, so that claims alone show the order.
    store.connection.redis.delete(store.keys.durations("lab"))
    standings = QueueOrders(store).standings(QUEUE)
    assert sorted(standings, key=lambda id: standings[id].position) == claim_all(store)
    assert sorted(each.position for each in standings.values()) == [*range(1, len(standings) + 1)]
    store.connection.disconnect()


def ended_after(seconds, info):
    return info.changed(state=State.SUCCESS, status="x", date_end=date_after(info, seconds))


def test_one_owner_s_thousands_delay_nobody_else(store):
    ada, bob = (store.users.enrol(name, new_group) for name in ("ada", "bob"))
    for _ in range(50):
        queued_job(store, ada)
    first = [claim(store).info.owner for _ in range(10)]
    later = queued_job(store, bob)
    assert QueueOrders(store).standings(QUEUE)[later.id].position == 1
    assert (first, claim(store).info) == ([ada.id] * 10, store.jobs.get(later.id))


def test_what_is_preferred_last_is_the_next_whoever_has_used_less(store):
    ada, bob = (store.users.enrol(name, new_group) for name in ("ada", "bob"))
    jobs = [queued_job(store, ada), queued_job(store, ada), queued_job(store, bob)]
    assert claim(store).info.id == jobs[0].id
    assert store.queue.prefer(jobs[2]) and store.queue.prefer(jobs[1])
    places = {id: standing.position for id, standing in QueueOrders(store).standings(QUEUE).items()}
    assert places == {jobs[1].id: 1, jobs[2].id: 2}
    assert claim_all(store) == [jobs[1].id, jobs[2].id]


def test_what_took_longer_costs_more(store):
    ada, bob = (store.users.enrol(name, new_group) for name in ("ada", "bob"))
    for root in (ada, bob):
        for _ in range(6):
            queued_job(store, root)
    # An hour of ada's counts as much as many short jobs of bob's.
    store.jobs.change(claim(store).info.id, partial(ended_after, 3600))
    assert [claim(store).info.owner for _ in range(6)] == [bob.id] * 6
    assert claim(store).info.owner == ada.id


def test_one_that_took_nearly_what_was_guessed_comes_to_its_end(store):
    job = queued_job(store, store.users.enrol("ada", new_group))
    claim(store)
    # Rounded to whole milliseconds, the difference is "-0", which Redis takes for no number.
    seconds = (USED_GUESS - 0.3) / 1000
    assert store.jobs.change(job.id, partial(ended_after, seconds)).finished


def test_it_starts_when_those_before_it_have_run(store):
    root = store.users.enrol("ada", new_group)
    for _ in range(7):
        queued_job(store, root)
    assert {each.starts_in for each in QueueOrders(store).standings(QUEUE).values()} == {None}
    for engine in ("one", "two"):
        claim(store, engine)
    for engine, seconds in (("one", 60), ("two", 100), ("one", 20)):
        running = next(info for info in running_jobs(store) if info.engine == engine)
        store.jobs.change(running.id, partial(ended_after, seconds))
        claim(store, engine)
    assert starts(store) == {1: 60, 2: 60}
    store.policy.start(policy.drained("two"))
    assert starts(store) == {1: 60, 2: 120}
    # What takes longer than most tells nothing of when it will end.
    for info in running_jobs(store):
        long_ago = f"{datetime.now(UTC) - timedelta(seconds=90):%Y-%m-%d %H:%M:%S.%f}"
        store.jobs.change(info.id, lambda info, date=long_ago: info.changed(date_start=date))
    assert starts(store) == {1: None, 2: None}


def starts(store):
    """Return by position after how many seconds jobs will begin, of which a few have passed."""
    found = QueueOrders(store).standings(QUEUE).values()
    seconds = {each.position: each.starts_in for each in found}
    return {each: left and ceil((left - 0.5) / 10) * 10 for each, left in seconds.items()}


def test_who_may_run_few_has_places_for_few(store):
    ada, bob = (store.users.enrol(name, new_group) for name in ("ada", "bob"))
    store.policy.update({policy.limit_slot("matlab"): 2, policy.owner_slot("lab", bob.id): 1})
    jobs = [queued_job(store, ada, limit="matlab") for _ in range(4)]
    jobs += [queued_job(store, bob) for _ in range(2)]
    standings = QueueOrders(store).standings(QUEUE)
    assert [standings[job.id].position for job in jobs] == [1, 3, None, None, 2, None]
    assert [standings[job.id].hold for job in jobs] == [
        *(None, None, Hold.LIMIT, Hold.LIMIT),
        *(None, Hold.OWNER),
    ]


def running_jobs(store):
    return store.jobs.get_many([each.id for each in store.queue.running()])


def test_what_is_held_says_so_and_holds_back_nobody(store):
    ada, bob = (store.users.enrol(name, new_group) for name in ("ada", "bob"))
    store.policy.update({policy.owner_slot("lab", ada.id): 1, policy.limit_slot("matlab"): 1})
    jobs = [queued_job(store, ada), queued_job(store, ada)]
    jobs += [queued_job(store, bob, limit="matlab"), queued_job(store, bob, limit="matlab")]
    jobs += [queued_job(store, bob)]
    assert claim_all(store) == [jobs[0].id, jobs[2].id, jobs[4].id]
    attempts = store.queue.first_waiting(QUEUE)
    assert store.queue.holds(attempts) == [Hold.OWNER, Hold.LIMIT]
    assert QueueOrders(store).standings(QUEUE) == {
        jobs[1].id: Standing(hold=Hold.OWNER),
        jobs[3].id: Standing(hold=Hold.LIMIT),
    }
    store.jobs.cancel(jobs[2].id)
    assert QueueOrders(store).standings(QUEUE)[jobs[3].id] == Standing(position=1)
    store.policy.start(policy.paused("lab"))
    assert QueueOrders(store).standings(QUEUE)[jobs[3].id] == Standing(hold=Hold.PAUSED)
    assert claim(store) is None


def test_a_paused_context_calls_and_wakes_nobody(store):
    root = store.users.enrol("ada", new_group)
    assert claim(store) is None  # it lingers
    store.policy.start(policy.paused("lab"))
    assert store.jobs.create(job_for(root), b"payload", 9, "call:0") is False
    assert store.queue.note_calls(QUEUE, 9, 9, "call:1") == []
    assert store.queue.leave(QUEUE, "one") == 0
    assert store.policy.stop(policy.paused("lab")) and not store.policy.stop(policy.paused("lab"))
    assert store.queue.note_calls(QUEUE, 9, 9, "call:1") == ["call:1:1"]


def test_a_drained_engine_leaves_and_the_others_go_on(store):
    jobs = [queued_job(store, store.users.enrol("ada", new_group)) for _ in range(2)]
    store.policy.start(policy.drained("one"))
    assert claim(store, "one") is None and "one" not in store.queue.workers(QUEUE)
    assert claim(store, "two").info.id == jobs[0].id


def test_a_slot_of_what_does_not_run_is_given_back(store):
    root = store.users.enrol("ada", new_group)
    store.policy.update({policy.owner_slot("lab", root.id): 1})
    lost, waiting = queued_job(store, root), queued_job(store, root)
    claim(store)
    # As another program may do.
    store.connection.redis.delete(store.keys.running)
    assert claim(store) is None
    store.queue.review(QUEUE)
    assert claim(store).info.id == waiting.id and store.jobs.get(lost.id) is not None
