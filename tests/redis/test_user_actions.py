"""What pages let be done with many jobs holds up nobody, and is done for who is still there."""

import asyncio
import itertools
import threading

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model

from moi_django import Group
from moi_django.jobs import actions
from moi_django.models import State
from moi_django.protocol import user_actions
from moi_django.protocol.user_actions import UserActions
from tests.helpers.processes import wait_for
from tests.helpers.records import finish, many_jobs_in
from tests.helpers.websocket import actions_are_over, close_code, connected, hear, say

pytestmark = pytest.mark.django_db(transaction=True)
MANY = 1_500


@pytest.fixture
def user(moi):
    return get_user_model().objects.create_user("ada")


@pytest.fixture
def group(user, store):
    return Group.create(user, "a sweep")


def is_acting():
    return any(user.is_acting for users in user_actions._users.values() for user in users.values())


async def hear_until(socket, verb):
    while (frame := await hear(socket, 30))[0] != verb:
        pass
    return frame


async def test_a_page_hears_while_it_acts_on_many(server, user, group, store, monkeypatch):
    act, may_begin = actions.act, threading.Event()
    monkeypatch.setattr(actions, "act", lambda *given: may_begin.wait(30) and act(*given))
    await sync_to_async(many_jobs_in)(store, group, MANY)
    async with connected(server, user) as socket:
        await say(socket, "cancel", [group.id])
        await say(socket, "live", None)
        await hear_until(socket, "live")
        assert is_acting()
        may_begin.set()
        await actions_are_over()
    assert await sync_to_async(store.tree.totals)(group.id) == {"cancelled": MANY}


async def test_what_a_page_has_asked_for_ends_with_it(server, user, group, store, monkeypatch):
    act, looks = actions.act, itertools.count()

    def act_until_it_is_gone(user, verb, id, goes_on):
        def still_goes_on():
            if next(looks):
                wait_for(lambda: not goes_on(), "the end of the page")
            return goes_on()

        return act(user, verb, id, still_goes_on)

    monkeypatch.setattr(actions, "act", act_until_it_is_gone)
    await sync_to_async(many_jobs_in)(store, group, MANY)
    async with connected(server, user) as socket:
        for _ in range(3):
            await say(socket, "cancel", [group.id])
        await say(socket, "live", None)
        await hear_until(socket, "live")
    await actions_are_over()
    left = await sync_to_async(store.tree.totals)(group.id)
    assert left.get("queued", 0) > 0
    assert left.get("queued", 0) + left.get("cancelled", 0) == MANY


async def test_what_was_not_to_go_on_has_ended_when_the_next_begins(moi):
    user, begun, may_end, done = UserActions(), threading.Event(), threading.Event(), []

    def act(goes_on):
        begun.set()
        may_end.wait(30)
        done.append(("first", goes_on()))

    first = asyncio.create_task(user.run(act))
    await asyncio.to_thread(begun.wait, 30)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert user.is_acting
    second = asyncio.create_task(user.run(lambda goes_on: done.append(("second", goes_on()))))
    may_end.set()
    await second
    assert done == [("first", False), ("second", True)]
    assert not user.is_acting


async def test_pages_of_one_user_share_what_is_allowed(server, user, group, moi, store):
    moi.update(VERBS_BURST=20, VERBS_PER_SECOND=0.1)
    jobs = await sync_to_async(many_jobs_in)(store, group, 15)
    ids = [job.id for job in jobs]
    other = await sync_to_async(get_user_model().objects.create_user)("bob")
    async with connected(server, user) as one, connected(server, user) as two:
        await say(one, "cancel", ids)
        await say(one, "live", None)
        await hear_until(one, "live")
        await say(two, "remove", ids)
        assert await close_code(two) == 4429
        async with connected(server, other) as third:
            await say(third, "cancel", ids)
            assert (await hear_until(third, "error"))[1]["verb"] == "cancel"
    await actions_are_over()
    assert await sync_to_async(store.tree.totals)(group.id) == {"cancelled": 15}


def reads_of(store, work, *args):
    """Return how often Redis was asked for many values or members by something."""

    def reads():
        stats = store.connection.redis.info("commandstats")
        return sum(
            stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("mget", "smembers")
        )

    before = reads()
    work(*args)
    return reads() - before


def test_a_group_with_nothing_to_cancel_costs_next_to_nothing(own_redis, moi, store):
    group = Group.create("no-user", "a group")
    for job in many_jobs_in(store, group, 50):
        finish(store, job)
    assert reads_of(store, store.tree.cancel, group.id) == 1


def test_many_are_done_in_few_round_trips(own_redis, moi, store):
    group = Group.create("no-user", "a group")
    many_jobs_in(store, group, 1000)
    assert reads_of(store, store.tree.cancel, group.id) < 20
    assert store.tree.totals(group.id) == {"cancelled": 1000}
    assert reads_of(store, store.tree.remove, group.id) < 40
    assert store.jobs.get(group.id) is None


def test_what_somebody_else_changes_meanwhile_is_done_all_the_same(store, monkeypatch):
    group = Group.create("no-user", "a group")
    jobs = many_jobs_in(store, group, 5)
    read = store.tree.descendants

    def descendants(root):
        found = read(root)
        store.jobs.change(jobs[0].id, lambda info: info.changed(status="on my way"))
        store.jobs.cancel(jobs[1].id)
        store.jobs.remove_if_empty(jobs[2].id)
        return found

    monkeypatch.setattr(store.tree, "descendants", descendants)
    assert store.tree.cancel(group.id) == 3
    states = [info and info.state for info in store.jobs.get_many([job.id for job in jobs])]
    assert states == [State.CANCELLED, State.CANCELLED, None, State.CANCELLED, State.CANCELLED]
