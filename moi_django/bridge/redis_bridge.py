"""Carry changes from Redis to the consumers of this server process.

One bridge for each event loop, started by the first consumer and stopped with the last. It holds
one pubsub connection, subscribed to every job and group below the groups that its consumers watch.
A message only says where to look: what goes out is what Redis holds, read after the message, in one
message a tick to all viewers.

A confirmed subscription counts as a change too. Redis confirms all of them again on a new
connection, so whatever was missed meanwhile is found by the same path.
"""

import asyncio
import json
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Set
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from moi_django.bridge.async_redis import (
    align_subscriptions,
    cancel_tasks,
    close_clients,
    log_end,
    open_client,
    raise_if_cancelled,
)
from moi_django.bridge.change_notifier import ChangeNotifier
from moi_django.bridge.frame_batch import FrameBatch
from moi_django.bridge.layer_channel import LayerChannel
from moi_django.bridge.tree_index import Frame, TreeIndex
from moi_django.bridge.tree_loader import TreeLoader
from moi_django.conf import companions, conf
from moi_django.exceptions import MoiError
from moi_django.site_store import get_store
from moi_django.validation import is_id

logger = logging.getLogger(__name__)

# Called with the id of a watched group, and its frames.
Hear = Callable[[str, FrameBatch], None]

# Seconds between two signs of life, to Redis and by the layer; and how long these may be silent.
HEARTBEAT = 5.0
SILENCE = 15.0
# What part of its time this thread may have been busy since a tick began when the next one begins;
# and seconds after which it begins, however busy that was.
BUSY_SHARE, MAX_TICK = 0.5, 1.0
# How many pages are sent a frame before others are: what is kept for all of them at once outlives
# young garbage, and full collections of it stop this process for a tenth of a second each.
VIEWERS_PER_STEP = 20


@dataclass(slots=True)
class Watch:
    """A group that consumers of this process watch."""

    viewers: set[Hear] = field(default_factory=set)
    loaded: asyncio.Event = field(default_factory=asyncio.Event)


class Bridge:
    """Between one Redis and the consumers in one event loop."""

    def __init__(self) -> None:
        self.live = False
        # What this process needs and has: Redis, and the layer.
        self._connected: set[str] = set()
        self._channel = LayerChannel(
            self._tell_viewers, partial(self._set_connected, "layer"), SILENCE
        )
        self._store = get_store()
        self._threads = conf.make_executor(2, "moi-bridge")
        self.tree_index = TreeIndex(conf.RESULT_PREVIEW)
        self._loader = TreeLoader(self._store, self.tree_index, self.in_thread)
        self._watches: dict[str, Watch] = {}
        # Ids to read: of a group its members, too.
        self._dirty: set[str] = set()
        # (group, id): whether that is a member has changed.
        self._moved: set[tuple[str, str]] = set()
        # (verb, group, id) that others asked for over pubsub.
        self._requests: set[tuple[str, str, str]] = set()
        # Jobs whose output is followed, and who is told that there is more.
        self._followed: dict[str, set[Callable[[], None]]] = {}
        self._pubsub: PubSub | None = None
        self._subscribing = asyncio.Lock()
        # What is subscribed to, by what turns it into a channel.
        self._subscribed: dict[Callable[[str], str], set[str]] = defaultdict(set)
        self._wake = asyncio.Event()
        self.change_notifier = ChangeNotifier(self._wake.set)
        self._listeners: set[Callable[[bool], None]] = set()
        self._tasks = [
            asyncio.create_task(run(), name=f"moi-bridge-{run.__name__.strip('_')}")
            for run in (
                self._keep_connected,
                self._channel.hear_layer,
                self.change_notifier.notify_listeners,
                self._send_ticks,
                self._send_heartbeats,
            )
        ]
        for task in self._tasks:
            task.add_done_callback(log_end)
        self._stops = [start() for start in companions]
        self._tasks[0].add_done_callback(self._release)

    # For consumers

    def add_consumer(self, listener: Callable[[bool], None]) -> None:
        """Enter a consumer, which is told when Redis is lost (False) and found again (True)."""
        self._listeners.add(listener)
        self._wake.set()

    async def remove_consumer(self, listener: Callable[[bool], None]) -> None:
        """Undo `add_consumer`; the last one to leave stops the bridge."""
        self._listeners.discard(listener)
        self._wake.set()
        if not self._listeners:
            _bridges.pop(asyncio.get_running_loop(), None)
            await self._shut_down()

    async def watch(self, group: str, hear: Hear) -> None:
        """Tell of every change at and below a group from now on."""
        watch = self._watches.get(group)
        if watch is None:
            watch = self._watches[group] = Watch()
            self.tree_index.add_root(group)
            if group in self._subscribed[self._store.keys.channel]:
                self._dirty.add(group)  # else its confirmation does so
            self._wake.set()
        watch.viewers.add(hear)
        await watch.loaded.wait()
        await self._channel.joined.wait()

    def unwatch(self, group: str, hear: Hear) -> None:
        """Undo a `watch`, also one that is still waiting."""
        watch = self._watches[group]
        watch.viewers.discard(hear)
        if not watch.viewers:
            del self._watches[group]
            self.tree_index.remove_root(group)
            self._wake.set()

    def follow_log(self, id: str, listener: Callable[[], None]) -> None:
        """Tell when there may be more output of a job."""
        self._followed.setdefault(id, set()).add(listener)
        self._wake.set()

    def unfollow_log(self, id: str, listener: Callable[[], None]) -> None:
        """Undo `follow_log`."""
        self._followed[id].discard(listener)
        if not self._followed[id]:
            del self._followed[id]
            self._wake.set()

    async def in_thread(self, work: Callable[..., Any], *args: Any) -> Any:
        """Run something that blocks, such as the store, outside of the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)

    async def _shut_down(self) -> None:
        # The one that listens last: the others use its connection.
        await cancel_tasks(*self._tasks[1:])
        await cancel_tasks(self._tasks[0])

    def _release(self, task: asyncio.Task[None]) -> None:
        """End what outlives an event loop: it may be cancelled while it still has consumers."""
        if not task.cancelled():
            return
        if _bridges.get(loop := task.get_loop()) is self:
            del _bridges[loop]
        self._threads.shutdown(wait=False)
        for stop in self._stops:
            stop()

    # From Redis

    async def _keep_connected(self) -> None:
        """Keep one connection to Redis; on any trouble say so and open the next."""
        delay = 0.1
        while True:
            client = open_client(self._store.config.url)
            pubsub = client.pubsub()
            try:
                await pubsub.ping()
                self._store.connection.renew()  # a message tells of what may be read after it
                self._pubsub = pubsub
                self._subscribed.clear()
                self._set_connected("redis", True)
                delay = 0.1
                self._wake.set()
                await self._read_messages(pubsub)
            except (RedisError, OSError) as error:
                logger.warning("No connection to Redis, trying again: %s", error)
            finally:
                self._pubsub = None
                self._set_connected("redis", False)
                # Used once more, a closed one would connect again and stay subscribed.
                async with self._subscribing:
                    await close_clients(pubsub, client)
            raise_if_cancelled()
            await asyncio.sleep(delay)
            delay = min(delay * 2, 5.0)

    async def _read_messages(self, pubsub: PubSub) -> None:
        """Note what messages say; raise when Redis falls silent."""
        heard = pinged = time.monotonic()
        while True:
            raise_if_cancelled()
            message = await pubsub.get_message(timeout=1.0)
            now = time.monotonic()
            if message is not None:
                heard = now
                self._handle_message(message)
            if now - heard > SILENCE:
                raise redis.ConnectionError(f"Redis is silent for {SILENCE:.0f} s")
            if now - pinged > HEARTBEAT:
                pinged = now
                await pubsub.ping()

    def _set_connected(self, name: str, is_there: bool) -> None:
        (self._connected.add if is_there else self._connected.discard)(name)
        live = len(self._connected) == 2
        if live is not self.live:
            self.live = live
            for listener in list(self._listeners):
                listener(live)

    def _handle_message(self, message: dict[str, Any]) -> None:
        if message["type"] not in ("subscribe", "message"):
            return
        channel = message["channel"].decode(errors="replace")
        if log := self._store.keys.id_of_log(channel):
            for listener in list(self._followed.get(log, ())):
                listener()
            return
        if channel == self._store.keys.jobs:
            self.change_notifier.schedule()
            return
        id = self._store.keys.id_of_channel(channel)
        if message["type"] == "subscribe":
            self._dirty.add(id)
        else:
            try:
                self._handle_verbs(id, json.loads(message["data"]))
            except (ValueError, TypeError, AttributeError, RecursionError):
                logger.warning("Skipped a message on the channel of %s: %.200r", id, message)
        self._wake.set()

    def _handle_verbs(self, channel: str, verbs: dict[str, Any]) -> None:
        # What the store has done itself is not to be done again: it may have been undone by now.
        is_done = verbs.pop("done", False)
        for verb, ids in verbs.items():
            if not isinstance(ids, list) or not all(map(is_id, ids)):
                raise TypeError("ids come as a list of strings")
            others = [(channel, id) for id in ids if id != channel]
            self._dirty.update(ids)
            if is_done:
                self._moved.update(others)
            else:
                self._dirty.add(channel)
                if verb in ("add", "remove", "get"):
                    self._requests.update((verb, *other) for other in others)

    # To the viewers

    async def _send_ticks(self) -> None:
        """Send what has changed, the changes of a tick as one."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            begun, used = time.monotonic(), time.thread_time()
            try:
                await self._align_subscriptions()
                await self._handle_requests()
                await self._load_dirty()
                await self._align_subscriptions()
                if told := self.tree_index.take_frames():
                    await self._channel.send(told)
            except (MoiError, RedisError, OSError) as error:
                logger.warning("Cannot tell what has changed, trying again: %s", error)
                await asyncio.sleep(0.5)
                self._wake.set()
            except Exception:  # a mistake of ours must not silence the pages of this process
                logger.exception("Cannot tell what has changed, reading all of it again")
                await asyncio.sleep(5)
                self._dirty.update(self.tree_index.nodes)
                self._wake.set()
            await _rest(begun, used)

    async def _align_subscriptions(self) -> None:
        """Bring the subscriptions of the connection in line with what is watched."""
        async with self._subscribing:
            if (pubsub := self._pubsub) is None:
                return
            keys = self._store.keys
            wanted: dict[Callable[[str], str], Set[str]] = {
                keys.channel: self.tree_index.nodes.keys(),
                keys.log: self._followed.keys(),
                # How many consumers there are, as others may read in Redis.
                keys.sockets: {f"{self._channel.name}:{len(self._listeners)}"},
                str: {keys.jobs} if self.change_notifier else set(),
            }
            for channel, want in wanted.items():
                await align_subscriptions(pubsub, want, self._subscribed[channel], channel)

    async def _handle_requests(self) -> None:
        """Do what was asked for over the pubsub of a group: add, remove, get."""
        while self._requests:
            verb, group, id = self._requests.pop()
            node = self.tree_index.nodes.get(group)
            if node is None or node.info is None or not node.info.is_group:
                continue
            if verb == "get" and self.tree_index.is_below(group, id):
                self.tree_index.mark_requested(id)
            elif verb == "add" and id not in node.members:
                await self.in_thread(self._add_member, group, id)
            elif verb == "remove" and id in node.members:
                await self.in_thread(self._store.tree.remove_member, group, id)

    def _add_member(self, group: str, id: str) -> None:
        if self._store.jobs.get(id) is not None:
            self._store.tree.add_member(group, id)

    async def _load_dirty(self) -> None:
        """Read what is dirty, and what that leads to, until all below the watched is known."""
        dirty, self._dirty = self._dirty, set()
        moved, self._moved = self._moved, set()
        read: set[str] = set()
        try:
            dirty |= await self._loader.load_moved(moved)
            # Their totals or size may have changed with it.
            above = self.tree_index.groups_above(dirty) | {group for group, _ in moved}
            while (ids := [id for id in dirty if id in self.tree_index.nodes]) or above:
                read.update(ids)
                dirty, above = await self._loader.load_nodes(ids, above - read), set()
        except BaseException:
            self._dirty |= dirty | read | {group for group, _ in moved}
            raise
        for root in self.tree_index.mark_loaded(read):
            self._watches[root].loaded.set()

    async def _tell_viewers(self, told: dict[str, list[Frame]]) -> None:
        count = 0
        for group, frames in told.items():
            viewers = watch.viewers if (watch := self._watches.get(group)) else set[Hear]()
            batch = FrameBatch(frames)
            for hear in list(viewers):
                if hear in viewers:  # still
                    hear(group, batch)
                count += 1
                if not count % VIEWERS_PER_STEP:
                    await asyncio.sleep(0)

    async def _send_heartbeats(self) -> None:
        """Look for what is not told of, and send what shows that a message was lost."""
        while True:
            await asyncio.sleep(HEARTBEAT)
            # An engine that has died does not say so, nor does Redis what it has forgotten.
            self.change_notifier.schedule()
            try:
                await self._look_for_forgotten()
                await self._channel.send({})
            except (MoiError, RedisError, OSError) as error:
                logger.warning("Cannot tell whether all is told: %s", error)

    async def _look_for_forgotten(self) -> None:
        """Read again what is gone though nobody has removed it: expired, evicted or flushed."""
        if self.live and (gone := await self._loader.find_forgotten()):
            self._dirty.update(gone)
            self._wake.set()


async def _rest(begun: float, used: float) -> None:
    """Wait until the next tick may begin: not while frames of this one have yet to be written.

    It began at this `time.monotonic` and this `time.thread_time`.
    """
    await asyncio.sleep(conf.TICK)
    while time.thread_time() - used > BUSY_SHARE * (passed := time.monotonic() - begun):
        if passed > MAX_TICK:
            break
        await asyncio.sleep(0.01)


_bridges: WeakKeyDictionary[asyncio.AbstractEventLoop, Bridge] = WeakKeyDictionary()


def get_bridge() -> Bridge:
    """Return the bridge of the running event loop, started when there is none."""
    loop = asyncio.get_running_loop()
    if loop not in _bridges:
        _bridges[loop] = Bridge()
    return _bridges[loop]
