"""Pages that show the jobs of all users hear when to look again, and others do not."""

import asyncio
import time

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model

from moi_django import Group
from moi_django.bridge import redis_bridge
from moi_django.bridge.change_notifier import NOTIFY_INTERVAL
from moi_django.store.engines import EngineMetrics
from tests.helpers.processes import wait_for
from tests.helpers.records import finish, job_in
from tests.helpers.websocket import close_code, connected, hear, say

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def operator(moi):
    return get_user_model().objects.create_superuser("operator", "o@example.org")


def listeners(store):
    """Return how many connections listen to the news of this test's jobs."""
    [(_, number)] = store.connection.redis.pubsub_numsub(store.keys.jobs)
    return number


async def ask(socket):
    """Ask for news as the panel does, and for nothing of one's own."""
    await say(socket, "watch", [])
    await say(socket, "news", None)
    assert await hear(socket) == ("news", None)


async def test_each_kind_of_change_is_news(server, operator, store, monkeypatch):
    # So that a heartbeat, which is news too, does not come meanwhile, nor is missed.
    monkeypatch.setattr(redis_bridge, "HEARTBEAT", 600)
    monkeypatch.setattr(redis_bridge, "SILENCE", 600)
    group = await sync_to_async(Group.of)("somebody else")
    async with connected(server, operator) as socket:
        await ask(socket)
        await sync_to_async(wait_for)(lambda: listeners(store) == 1, "the subscription")
        assert await hear(socket) == ("news", None)  # of the subscription itself
        job = await sync_to_async(job_in)(store, group)
        assert await hear(socket) == ("news", None)
        await sync_to_async(finish)(store, job)
        assert await hear(socket) == ("news", None)
        await sync_to_async(store.tree.remove)(job.id)
        assert await hear(socket) == ("news", None)
        await sync_to_async(store.engines.report)(EngineMetrics("an engine"))
        assert await hear(socket) == ("news", None)
    await sync_to_async(wait_for)(lambda: listeners(store) == 0, "the end of the subscription")


async def test_news_comes_without_changes_for_what_dies_says_nothing(server, operator, monkeypatch):
    monkeypatch.setattr(redis_bridge, "HEARTBEAT", 0.5)
    async with connected(server, operator) as socket:
        await ask(socket)
        # The first is of the subscription.
        assert [await hear(socket) for _ in range(3)] == [("news", None)] * 3


async def test_many_changes_are_one_piece_of_news_a_second(server, operator, store):
    group = await sync_to_async(Group.of)("somebody else")
    async with connected(server, operator) as socket, asyncio.timeout(60):
        begun, heard = time.monotonic(), 0
        await ask(socket)
        await sync_to_async(wait_for)(lambda: listeners(store) == 1, "the subscription")
        while time.monotonic() < begun + 3 * NOTIFY_INTERVAL or heard < 2:
            for _ in range(20):
                await sync_to_async(job_in)(store, group)
            while (await _waiting(socket)) is not None:
                heard += 1
        assert 2 <= heard <= (time.monotonic() - begun) / NOTIFY_INTERVAL + 1


async def _waiting(socket):
    """Return the next frame if it has come, else None."""
    try:
        return await hear(socket, 0.01)
    except TimeoutError:
        return None


@pytest.mark.parametrize("kind", ["owner", "other", "viewer", "operator", "changer"], indirect=True)
async def test_news_is_for_those_who_may_see_all(server, visitor, store):
    async with connected(server, visitor) as socket:
        await say(socket, "watch", [])
        await say(socket, "news", None)
        verb, payload = await hear(socket)
        assert (verb == "news") == (visitor.username in ("viewer", "operator"))
        assert verb == "news" or (payload["verb"], "id" in payload) == ("news", False)


async def test_a_killed_connection_to_redis_is_news(server, operator, store):
    async with connected(server, operator) as socket:
        await ask(socket)
        await sync_to_async(wait_for)(lambda: listeners(store) == 1, "the subscription")
        store.connection.redis.client_kill_filter(_type="pubsub")
        frames = [await hear(socket) for _ in range(3)]
        assert ("live", False) in frames
        assert ("news", None) in frames
        await sync_to_async(wait_for)(lambda: listeners(store) == 1, "the subscription")


async def test_news_ends_with_the_permission(server, operator, store, moi):
    moi["SESSION_CHECK"] = 0.2
    async with connected(server, operator) as socket:
        await ask(socket)
        operator.is_superuser = False
        await operator.asave()
        assert await close_code(socket) == 1013
