"""Carry changes from Redis to the consumers of this server process.

One bridge for each event loop, started by the first consumer and stopped with the last. It holds
one pubsub connection, subscribed to every job and group below the groups that its consumers watch.
A message only says where to look: what goes out is what Redis holds, read after the message.

A confirmed subscription counts as a change too. Redis confirms all of them again on a new
connection, so whatever was missed meanwhile is found by the same path.
"""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import redis.asyncio
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from moi_django.bridge.async_redis import align_subscriptions, cancel_tasks, close_clients, log_end
from moi_django.bridge.change_notifier import ChangeNotifier
from moi_django.bridge.tree_index import Frame, TreeIndex
from moi_django.conf import companions, conf
from moi_django.exceptions import MoiError
from moi_django.models import Info
from moi_django.site_store import get_store
from moi_django.store.connection import CONNECTION_OPTIONS
from moi_django.validation import is_id

logger = logging.getLogger(__name__)

# Called with the id of a watched group, the number of the message, and its frames.
Deliver = Callable[[str, int, list[Frame]], Awaitable[None]]

# Seconds between two signs of life, to Redis and to the viewers; and how long Redis may be silent.
HEARTBEAT = 5.0
SILENCE = 15.0
# How many infos are taken in before other tasks of this process have their turn.
NODES_PER_STEP = 100


@dataclass(slots=True)
class Watch:
    """A group that consumers of this process watch."""

    viewers: int = 0
    # Number of the last message to its viewers, by which they notice a lost one.
    sent: int = 0
    loaded: asyncio.Event = field(default_factory=asyncio.Event)


class Bridge:
    """Between one Redis and the consumers in one event loop."""

    def __init__(self, deliver: Deliver) -> None:
        self.live = False
        self.viewers = 0
        self._deliver = deliver
        self._store = get_store()
        self._threads = conf.make_executor(2, "moi-bridge")
        self._tree_index = TreeIndex(conf.RESULT_PREVIEW)
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
        # Ids of which the channel is subscribed to, and of which the log's is.
        self._subscribed: set[str] = set()
        self._subscribed_logs: set[str] = set()
        self._wake = asyncio.Event()
        self.change_notifier = ChangeNotifier(self._store.keys.jobs, self._wake.set)
        self._listeners: set[Callable[[bool], None]] = set()
        self._tasks = [
            asyncio.create_task(run(), name=f"moi-bridge-{run.__name__.strip('_')}")
            for run in (self._keep_connected, self._send_ticks, self._send_heartbeats)
        ]
        for task in self._tasks:
            task.add_done_callback(log_end)
        self._stops = [start() for start in companions]

    # For consumers

    def add_consumer(self, listener: Callable[[bool], None]) -> None:
        """Enter a consumer, which is told when Redis is lost (False) and found again (True)."""
        self._listeners.add(listener)

    async def remove_consumer(self, listener: Callable[[bool], None]) -> None:
        """Undo `add_consumer`; the last one to leave stops the bridge."""
        self._listeners.discard(listener)
        if not self._listeners:
            _bridges.pop(asyncio.get_running_loop(), None)
            await self._shut_down()

    async def watch(self, group: str) -> int:
        """Deliver every change at and below a group from now on.

        Returns the number of the last message to its viewers.
        """
        watch = self._watches.get(group)
        if watch is None:
            watch = self._watches[group] = Watch()
            self._tree_index.add_root(group)
            if group in self._subscribed:
                self._dirty.add(group)  # else its confirmation does so
            self._wake.set()
        watch.viewers += 1
        await watch.loaded.wait()
        return watch.sent

    def unwatch(self, group: str) -> None:
        """Undo one `watch`, also one that is still waiting."""
        watch = self._watches[group]
        watch.viewers -= 1
        if not watch.viewers:
            del self._watches[group]
            self._tree_index.remove_root(group)
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
        self.change_notifier.cancel_timer()
        self._threads.shutdown(wait=False)
        for stop in self._stops:
            stop()

    # From Redis

    async def _keep_connected(self) -> None:
        """Keep one connection to Redis; on any trouble say so and open the next."""
        delay = 0.1
        while True:
            client = redis.asyncio.Redis.from_url(self._store.config.url, **CONNECTION_OPTIONS)
            pubsub = client.pubsub()
            try:
                await pubsub.ping()
                self._store.connection.renew()  # a message tells of what may be read after it
                self._pubsub = pubsub
                self._subscribed, self._subscribed_logs = set(), set()
                self._set_live(True)
                delay = 0.1
                self._wake.set()
                await self._read_messages(pubsub)
            except (RedisError, OSError) as error:
                logger.warning("No connection to Redis, trying again: %s", error)
            finally:
                self._pubsub = None
                self._set_live(False)
                # Used once more, a closed one would connect again and stay subscribed.
                async with self._subscribing:
                    await close_clients(pubsub, client)
            await asyncio.sleep(delay)
            delay = min(delay * 2, 5.0)

    async def _read_messages(self, pubsub: PubSub) -> None:
        """Note what messages say; raise when Redis falls silent."""
        heard = pinged = time.monotonic()
        while True:
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

    def _set_live(self, live: bool) -> None:
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
        if self.change_notifier.accepts(channel):
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
            try:
                await self._align_subscriptions()
                await self._handle_requests()
                await self._load_dirty()
                await self._align_subscriptions()
                await self._send_frames()
            except (MoiError, RedisError, OSError) as error:
                logger.warning("Cannot tell what has changed, trying again: %s", error)
                await asyncio.sleep(0.5)
                self._wake.set()
            except Exception:  # a mistake of ours must not silence the pages of this process
                logger.exception("Cannot tell what has changed, reading all of it again")
                await asyncio.sleep(5)
                self._dirty.update(self._tree_index.nodes)
                self._wake.set()
            await asyncio.sleep(conf.TICK)

    async def _align_subscriptions(self) -> None:
        """Bring the subscriptions of the connection in line with what is watched."""
        async with self._subscribing:
            if self._pubsub is not None:
                await self._align(self._pubsub)

    async def _align(self, pubsub: PubSub) -> None:
        keys, nodes = self._store.keys, self._tree_index.nodes
        await align_subscriptions(pubsub, nodes.keys(), self._subscribed, keys.channel)
        await align_subscriptions(pubsub, self._followed.keys(), self._subscribed_logs, keys.log)
        await self.change_notifier.align_subscription(pubsub)

    async def _handle_requests(self) -> None:
        """Do what was asked for over the pubsub of a group: add, remove, get."""
        while self._requests:
            verb, group, id = self._requests.pop()
            node = self._tree_index.nodes.get(group)
            if node is None or node.info is None or not node.info.is_group:
                continue
            if verb == "get" and self._tree_index.is_below(group, id):
                self._tree_index.mark_requested(id)
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
            dirty |= await self._load_moved(moved)
            # Their totals or size may have changed with it.
            above = self._tree_index.groups_above(dirty) | {group for group, _ in moved}
            while ids := [id for id in dirty if id in self._tree_index.nodes]:
                read.update(ids)
                dirty = await self._load_nodes(ids)
            await self._load_counts(above - read)
        except BaseException:
            self._dirty |= dirty | read | {group for group, _ in moved}
            raise
        for root in self._tree_index.mark_loaded(read):
            self._watches[root].loaded.set()

    async def _load_moved(self, moved: set[tuple[str, str]]) -> set[str]:
        """Look whether these are members; return the ids that must be read next."""
        pairs = [pair for pair in moved if pair[0] in self._tree_index.nodes]
        found: set[str] = set()
        if pairs:
            held = await self.in_thread(self._store.tree.are_members, pairs)
            for (group, id), is_in in zip(pairs, held, strict=True):
                found |= self._tree_index.put_member(group, id, is_in=is_in)
        return found

    async def _load_nodes(self, ids: list[str]) -> set[str]:
        """Read jobs and groups and the members of groups; return the ids that must be read next."""
        infos = await self.in_thread(self._load_infos, ids)
        groups = [info.id for info in infos if info is not None and info.is_group]
        members = await self.in_thread(self._store.tree.members_many, groups)
        found: set[str] = set()
        for number, (id, info) in enumerate(zip(ids, infos, strict=True), 1):
            self._tree_index.put_node(id, info)
            if not number % NODES_PER_STEP:
                await asyncio.sleep(0)
        for group, present in zip(groups, members, strict=True):
            found |= self._tree_index.put_members(group, present)
        return found

    def _load_infos(self, ids: list[str]) -> list[Info | None]:
        infos = self._store.jobs.get_many(ids)
        counted = iter(self._store.tree.with_counts([info for info in infos if info is not None]))
        return [None if info is None else next(counted) for info in infos]

    async def _load_counts(self, groups: set[str]) -> None:
        """Take in the totals and the size of groups, all else about them being the same."""
        nodes = [self._tree_index.nodes[id] for id in groups if id in self._tree_index.nodes]
        infos = [node.info for node in nodes if node.info is not None]
        if infos:
            for info in await self.in_thread(self._store.tree.with_counts, infos):
                self._tree_index.put_node(info.id, info)

    async def _send_frames(self) -> None:
        numbered = [
            (group, watch, frames)
            for group, frames in self._tree_index.take_frames().items()
            if (watch := self._watches.get(group)) is not None
        ]
        # All before the first is sent: should that fail, the viewers of the others notice too.
        for _, watch, _ in numbered:
            watch.sent += 1
        for group, watch, frames in numbered:
            await self._deliver(group, watch.sent, frames)

    async def _send_heartbeats(self) -> None:
        """Tell viewers the number of the last message, so that a lost one is noticed."""
        while True:
            await asyncio.sleep(HEARTBEAT)
            # An engine that has died does not say so, nor does Redis what it has forgotten.
            self.change_notifier.schedule()
            try:
                await self._look_for_forgotten()
                for group, watch in list(self._watches.items()):
                    await self._deliver(group, watch.sent, [])
            except (MoiError, RedisError, OSError) as error:
                logger.warning("Viewers get no sign of life: %s", error)

    async def _look_for_forgotten(self) -> None:
        """Read again what is gone though nobody has removed it: expired, evicted or flushed."""
        if not self.live:
            return
        nodes = {id: node for id, node in self._tree_index.nodes.items() if node.info is not None}
        gone = await self.in_thread(self._store.jobs.missing, list(nodes))
        groups = [node.info for node in nodes.values() if node.info and node.info.is_group]
        counted = await self.in_thread(self._store.tree.with_counts, groups)
        gone += [info.id for info in counted if info.size != len(nodes[info.id].members)]
        if gone:
            self._dirty.update(gone)
            self._wake.set()


_bridges: WeakKeyDictionary[asyncio.AbstractEventLoop, Bridge] = WeakKeyDictionary()


def get_bridge(deliver: Deliver) -> Bridge:
    """Return the bridge of the running event loop, started with `deliver` when there is none."""
    loop = asyncio.get_running_loop()
    if loop not in _bridges:
        _bridges[loop] = Bridge(deliver)
    return _bridges[loop]
