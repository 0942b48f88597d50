"""What it does when its own surroundings fail."""

import asyncio
from contextlib import asynccontextmanager

import redis
from asgiref.sync import sync_to_async

from moi_django import Group
from moi_django.bridge import redis_bridge as module
from moi_django.bridge.redis_bridge import Bridge
from moi_django.info_json import info_from_json
from moi_django.site_store import get_store as site_store
from moi_django.store import Store, StoreConfig
from tests.helpers.failover import Pair
from tests.helpers.records import job_in


class Viewer:
    """What the viewers of a bridge are handed; `failures` of the deliveries fail."""

    def __init__(self, failures=0):
        self.failures = failures
        self.heard: list[tuple[str, int, list]] = []
        self.news = asyncio.Event()

    async def __call__(self, group, number, frames):
        if frames and self.failures:
            self.failures -= 1
            raise redis.ConnectionError("the channel layer is away")
        self.heard.append((group, number, frames))
        self.news.set()

    async def until(self, condition):
        async with asyncio.timeout(15):
            while not condition():
                self.news.clear()
                await self.news.wait()


@asynccontextmanager
async def bridging(viewer):
    bridge = Bridge(viewer)
    listener = lambda live: None  # noqa: E731
    bridge.add_consumer(listener)
    try:
        yield bridge
    finally:
        await bridge.remove_consumer(listener)


async def test_viewers_notice_what_a_failed_delivery_has_lost(store, monkeypatch):
    monkeypatch.setattr(module, "HEARTBEAT", 0.1)
    one = await sync_to_async(Group.of)("no-user")
    two = await sync_to_async(Group.create)(one, "two")
    viewer = Viewer(failures=1)
    async with bridging(viewer) as bridge:
        numbers = {group.id: await bridge.watch(group.id) for group in (one, two)}
        # In both groups at once; the first delivery fails and takes the second along.
        await sync_to_async(job_in)(store, two)
        await viewer.until(
            lambda: (
                {group for group, number, _ in viewer.heard if number > numbers[group]}
                == {one.id, two.id}
            )
        )
        assert viewer.failures == 0


async def test_a_watch_that_began_without_redis_is_complete_once_it_is_back(own_redis):
    store = site_store()
    group = await sync_to_async(Group.of)("no-user")
    viewer = Viewer()
    async with bridging(viewer) as bridge:
        await bridge.watch(group.id)
        inner = await sync_to_async(Group.create)(group, "inner")
        await viewer.until(lambda: viewer.heard)
        await sync_to_async(own_redis.kill)()
        watching = asyncio.create_task(bridge.watch(inner.id))
        done, _ = await asyncio.wait({watching}, timeout=1)
        assert not done
        await sync_to_async(own_redis.start)()
        async with asyncio.timeout(20):
            await watching
        viewer.heard.clear()
        job = await sync_to_async(job_in)(store, inner)
        await viewer.until(
            lambda: {group for group, _, frames in viewer.heard if frames} == {group.id, inner.id}
        )
        told = [frame for _, _, frames in viewer.heard for frame in frames]
        assert {info_from_json(raw).id for verb, _, raw in told if verb != "count"} == {job.id}


async def test_a_page_that_comes_after_a_failover_shows_nothing_of_the_old_primary(moi):
    with Pair() as pair:
        moi["REDIS_URL"] = pair.url
        # From here on this process has a connection to it.
        group = await sync_to_async(Group.of)("no-user")
        await sync_to_async(pair.change_places)()
        # It hears no more of what is written.
        await sync_to_async(pair.replica.ask)("REPLICAOF", "127.0.0.1", 1)
        viewer = Viewer()
        async with bridging(viewer) as bridge:
            await bridge.watch(group.id)
            elsewhere = Store(StoreConfig(pair.url, moi["KEY_PREFIX"]))
            job = await sync_to_async(job_in)(elsewhere, group)
            await viewer.until(lambda: any(job.id in str(frames) for _, _, frames in viewer.heard))
            elsewhere.connection.disconnect()
