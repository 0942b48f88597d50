"""What it does when its own surroundings fail."""

import asyncio
import json
import threading
from contextlib import asynccontextmanager

import pytest
import redis
from asgiref.sync import sync_to_async
from channels.layers import InMemoryChannelLayer

from moi_django import Group
from moi_django.bridge import redis_bridge as module
from moi_django.bridge.async_redis import close_clients, open_client
from moi_django.bridge.redis_bridge import Bridge, _bridges, get_bridge
from moi_django.info_json import info_from_json
from moi_django.layers import MoiChannelLayer
from moi_django.protocol.send_queue import SendQueue
from moi_django.protocol.subscriptions import Subscriptions
from moi_django.protocol.viewport import Viewport
from moi_django.site_store import get_store as site_store
from moi_django.store import Store, StoreConfig
from tests.helpers.failover import Pair
from tests.helpers.processes import threads_of, wait_for
from tests.helpers.records import job_in


class FailingLayer(MoiChannelLayer):
    """Loses the first messages with changes."""

    failures = 1

    async def group_send(self, group, message):
        if self.failures and message["told"]:
            self.failures -= 1
            raise redis.ConnectionError("the channel layer is away")
        await self._get_layer().group_send(group, message)


class DeafLayer(InMemoryChannelLayer):
    """One that takes what is sent, and brings it to nobody, as long as that is so."""

    is_deaf = False
    joined = 0

    async def group_add(self, group, channel):
        await super().group_add(group, channel)
        DeafLayer.joined += 1

    @classmethod
    async def join_again(cls, times):
        """Return when it was joined so many times more."""
        wanted = cls.joined + times
        await sync_to_async(wait_for)(lambda: cls.joined >= wanted)

    async def group_send(self, group, message):
        if not self.is_deaf:
            await super().group_send(group, message)


class Viewer:
    """What a viewer of a bridge hears, and whether it is told to be live."""

    def __init__(self):
        self.heard: list[tuple[str, list]] = []
        self.said: list[bool] = []
        self.news = asyncio.Event()

    def __call__(self, group, batch):
        self.heard.append((group, batch.frames))
        self.news.set()

    def note_live(self, live):
        self.said.append(live)
        self.news.set()

    async def until_said(self, *said):
        await self.until(lambda: self.said == [*said])

    async def until(self, condition):
        async with asyncio.timeout(30):
            while not condition():
                self.news.clear()
                await self.news.wait()


@asynccontextmanager
async def bridging(listener=lambda live: None):
    bridge = Bridge()
    bridge.add_consumer(listener)
    try:
        yield bridge
    finally:
        await bridge.remove_consumer(listener)


async def test_pages_notice_what_a_failed_delivery_has_lost(store, monkeypatch, settings):
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": f"{__name__}.FailingLayer"}}
    monkeypatch.setattr(module, "HEARTBEAT", 0.1)
    one = await sync_to_async(Group.of)("no-user")
    viewer = Viewer()
    async with bridging(viewer.note_live) as bridge:
        await bridge.watch(one.id, viewer)
        await viewer.until_said(True)
        await sync_to_async(job_in)(store, one)
        await viewer.until_said(True, False, True)
        assert viewer.heard == []


async def test_pages_are_not_called_live_while_a_layer_is_silent(store, monkeypatch, settings):
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": f"{__name__}.DeafLayer"}}
    monkeypatch.setattr(module, "HEARTBEAT", 0.1)
    monkeypatch.setattr(module, "SILENCE", 0.5)
    one = await sync_to_async(Group.of)("no-user")
    viewer = Viewer()
    async with bridging(viewer.note_live) as bridge:
        await bridge.watch(one.id, viewer)
        await viewer.until(lambda: viewer.said[-1:] == [True])
        monkeypatch.setattr(DeafLayer, "is_deaf", True)
        await DeafLayer.join_again(1)
        said = [*viewer.said]
        assert said[-1] is False
        await DeafLayer.join_again(2)
        assert viewer.said == said  # to have joined alone says nothing
        bridge._channel._silence = 15.0
        monkeypatch.setattr(DeafLayer, "is_deaf", False)
        await viewer.until(lambda: viewer.said[-1])
        job = await sync_to_async(job_in)(store, one)
        await viewer.until(lambda: viewer.heard)
        assert job.id in [id for _, frames in viewer.heard for _, id, *_ in frames]


async def test_a_watch_that_began_without_redis_is_complete_once_it_is_back(own_redis, settings):
    # One that loses nothing while it connects again, which viewers would notice later.
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
    store = site_store()
    group = await sync_to_async(Group.of)("no-user")
    viewer = Viewer()
    async with bridging() as bridge:
        await bridge.watch(group.id, viewer)
        inner = await sync_to_async(Group.create)(group, "inner")
        await viewer.until(lambda: viewer.heard)
        await sync_to_async(own_redis.kill)()
        watching = asyncio.create_task(bridge.watch(inner.id, viewer))
        done, _ = await asyncio.wait({watching}, timeout=1)
        assert not done
        await sync_to_async(own_redis.start)()
        async with asyncio.timeout(20):
            await watching
        viewer.heard.clear()
        job = await sync_to_async(job_in)(store, inner)
        await viewer.until(lambda: {group for group, _ in viewer.heard} == {group.id, inner.id})
        told = [frame for _, frames in viewer.heard for frame in frames]
        assert {info_from_json(raw).id for verb, _, raw, _ in told if verb != "count"} == {job.id}


async def test_a_page_that_comes_after_a_failover_shows_nothing_of_the_old_primary(moi):
    with Pair() as pair:
        moi["REDIS_URL"] = pair.url
        # From here on this process has a connection to it.
        group = await sync_to_async(Group.of)("no-user")
        await sync_to_async(pair.change_places)()
        # It hears no more of what is written.
        await sync_to_async(pair.replica.ask)("REPLICAOF", "127.0.0.1", 1)
        viewer = Viewer()
        async with bridging() as bridge:
            await bridge.watch(group.id, viewer)
            elsewhere = Store(StoreConfig(pair.url, moi["KEY_PREFIX"]))
            job = await sync_to_async(job_in)(elsewhere, group)
            await viewer.until(lambda: any(job.id in str(frames) for _, frames in viewer.heard))
            elsewhere.connection.disconnect()


async def test_what_changes_while_more_of_a_group_is_read_reaches_the_page(store, settings):
    # That of the last test may be on another Redis.
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
    group = await sync_to_async(Group.of)("no-user")
    inner = await sync_to_async(Group.create)(group, "inner")
    jobs = await sync_to_async(lambda: [job_in(store, inner, f"{n}") for n in range(2)])()
    sent, tasks, viewer = [], [], Viewer()
    hold = False

    async def client(text):
        sent.append(json.loads(text))
        viewer.news.set()

    async with bridging() as bridge:

        async def in_thread(work, *args):
            """Bring what was read only after a change of it was told."""
            found = await bridge.in_thread(work, *args)
            if hold:
                change = store.jobs.change
                await bridge.in_thread(change, jobs[1].id, lambda info: info.changed(status="new"))
                await viewer.until(lambda: viewer.heard)
            return found

        queue = SendQueue(client, lambda: tasks.append(asyncio.create_task(send())), True)

        async def send():
            await queue.send_all(page.push)

        page = Subscriptions(
            bridge, queue, in_thread, lambda id: True, "en", True, group.id, lambda: None
        )
        viewport = Viewport(inner.id, 1, 1)
        await page.replace({inner.id: viewport})
        page.schedule_snapshots()
        await viewer.until(lambda: {"sync": {"group": inner.id, "complete": True}} in sent)
        await bridge.watch(inner.id, viewer)
        hold = True
        queue.enqueue(lambda: page.send_more(viewport, inner.id))
        await asyncio.gather(*tasks)
        page.unsubscribe_all()
        bridge.unwatch(inner.id, viewer)
    told = [each for frame in sent for verb in frame for each in listed(frame[verb])]
    assert [each["status"] for each in told if each.get("id") == jobs[1].id] == ["Queued", "new"]


def listed(payload):
    return payload if isinstance(payload, list) else [payload]


def begin_bridge(steps):
    """Return what begins a bridge, and gives it up after some steps of the event loop."""

    async def begin():
        get_bridge().add_consumer(lambda live: None)
        for _ in range(steps):
            await asyncio.sleep(0)

    return begin()


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 5, 8, 13, 21, 34])
def test_a_loop_ends_that_cancels_all_tasks_once_whatever_they_are_at(store, steps):
    ending = threading.Thread(target=asyncio.run, args=[begin_bridge(steps)], daemon=True)
    ending.start()
    ending.join(10)
    assert not ending.is_alive()
    # Also what a consumer has left that was not told of it.
    assert not _bridges
    wait_for(lambda: not threads_of("moi-bridge"))


def begin_closing(url, opened, steps):
    """Return what closes a pubsub and a client, and gives that up after some steps of the loop."""

    async def begin():
        client = open_client(url)
        pubsub = client.pubsub()
        await pubsub.subscribe("a channel")
        await client.ping()
        opened[:] = [pubsub.connection, *client.connection_pool._available_connections]
        closing = asyncio.create_task(close_clients(pubsub, client))
        for _ in range(steps):
            await asyncio.sleep(0)
        del closing  # which the end of the loop cancels

    return begin()


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 4, 5, 8])
def test_connections_are_closed_whenever_all_tasks_are_cancelled(store, steps):
    opened = []
    asyncio.run(begin_closing(store.config.url, opened, steps))
    assert len(opened) == 2
    assert [connection.is_connected for connection in opened] == [False, False]
