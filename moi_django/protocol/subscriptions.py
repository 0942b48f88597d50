"""What one page watches, and what it is sent of it: snapshots and changes."""

import hashlib
import json
import secrets
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from typing import Any
from urllib.parse import parse_qs

from channels.layers import get_channel_layer
from django.conf import settings
from django.utils import translation

from moi_django.bridge.redis_bridge import Bridge
from moi_django.bridge.tree_index import Frame
from moi_django.conf import conf
from moi_django.jobs.standings import find_standing
from moi_django.models import Info
from moi_django.presentation.place_text import describe_place
from moi_django.protocol.send_queue import PendingUpdate, SendQueue
from moi_django.protocol.viewport import Viewport
from moi_django.site_store import get_store
from moi_django.store.tree_pages import PageRequest, TreePage

# How many infos are read at once for an answer.
CHUNK = 100
# The viewers of this process share no channel layer group with those of another one.
_PROCESS_ID = secrets.token_hex(8)


def layer_group(group: str) -> str:
    """Return the channel layer group of the viewers of a group in this process."""
    # A group's id need not consist of the characters that Channels allows.
    return f"moi.{_PROCESS_ID}.{hashlib.blake2b(group.encode(), digest_size=16).hexdigest()}"


async def deliver(group: str, number: int, frames: list[Frame]) -> None:
    """Hand frames to the viewers of a group in this process."""
    await get_channel_layer(conf.CHANNEL_LAYER).group_send(
        layer_group(group),
        {"type": "moi.frames", "group": group, "number": number, "frames": frames},
    )


def page_language(scope: Mapping[str, Any]) -> str:
    """Return the language of a page, as it says in the address of its websocket."""
    asked = parse_qs(scope["query_string"].decode("latin-1")).get("language", [""])
    with suppress(LookupError):
        return translation.get_supported_language_variant(asked[0])
    return settings.LANGUAGE_CODE


@dataclass(slots=True)
class Subscription:
    """A group that a page watches."""

    # What the page shows of it; None for all, as moi 0.2 did.
    viewport: Viewport | None
    # Number of the last message that was heard.
    last_number: int = 0

    def ignores(self, verb: str, id: str) -> bool:
        """Tell whether a change does not matter, whatever else it says."""
        return self.viewport is not None and self.viewport.ignores(verb, id)

    def accepts(self, verb: str, id: str, raw: str) -> bool:
        """Tell whether the page is to hear of a change, and take it in."""
        if self.viewport is None:
            return verb != "count"
        return self.viewport.accepts(verb, id, raw)


class Subscriptions:
    """The groups that one page watches, by way of the bridge and the channel layer."""

    def __init__(
        self,
        bridge: Bridge,
        send_queue: SendQueue,
        layer: Any,
        channel: str,
        in_thread: Callable[..., Awaitable[Any]],
        may_view: Callable[[str], bool],
        language: str,
    ) -> None:
        self._bridge, self._send_queue = bridge, send_queue
        self._layer, self._channel = layer, channel
        self._in_thread, self._may_view = in_thread, may_view
        self._language = language
        self._subscriptions: dict[str, Subscription] = {}

    async def unsubscribe_all(self) -> None:
        """Watch nothing any more."""
        for group in self._subscriptions:
            self._bridge.unwatch(group)
        for group in self._subscriptions:
            await self._layer.group_discard(layer_group(group), self._channel)

    async def replace(self, groups: Mapping[str, Viewport | None]) -> None:
        """Watch these groups and no others; snapshots are to follow."""
        for group in [group for group in self._subscriptions if group not in groups]:
            del self._subscriptions[group]
            self._bridge.unwatch(group)
            await self._layer.group_discard(layer_group(group), self._channel)
        for group, viewport in groups.items():
            if group in self._subscriptions:
                self._subscriptions[group].viewport = viewport
                continue
            await self._layer.group_add(layer_group(group), self._channel)
            self._subscriptions[group] = subscription = Subscription(viewport)
            subscription.last_number = max(
                subscription.last_number, await self._bridge.watch(group)
            )
        self._send_queue.drop_updates()

    def group_ids(self) -> list[str]:
        """Return the groups that are watched."""
        return list(self._subscriptions)

    def handle_frames(self, group: str, number: int, frames: list[Frame]) -> None:
        """Take in what the bridge tells the viewers of a group."""
        subscription = self._subscriptions.get(group)
        if (
            subscription is None
            or number < subscription.last_number
            or (number == subscription.last_number and not frames)
        ):
            return
        if number > subscription.last_number + bool(frames):
            # The channel layer delivers at most once: something was lost.
            self.schedule_snapshots([group])
        subscription.last_number = number
        for frame in frames:
            verb, id, _ = frame
            # What waits to be shown, and so is not shown yet, is to be shown as it is then.
            if self._send_queue.has_update(id) or not subscription.ignores(verb, id):
                self._send_queue.put_update(group, frame)

    async def forward(self, id: str, update: PendingUpdate) -> None:
        """Send a change if the page shows what has changed."""
        subscriptions = [
            self._subscriptions[root] for root in update.roots if root in self._subscriptions
        ]
        # Each has to take it in, so this is no any() of a generator.
        taken = [each.accepts(update.verb, id, update.raw) for each in subscriptions]
        if any(taken):
            await self._send_queue.send_now(
                "update" if update.verb == "count" else update.verb, update.raw
            )

    async def after_push(self) -> None:
        """Tell what else has changed with some changes."""
        for viewport in self._viewports():
            await self._send_partial_counts(viewport)
            if len(viewport) > conf.ROWS_LIMIT:
                # It has grown at its top: the page goes back to the newest.
                self.schedule_snapshots([viewport.root])

    def schedule_snapshots(self, groups: Iterable[str] | None = None) -> None:
        """Let snapshots be sent of these watched groups, or of all."""
        for group in self._subscriptions if groups is None else groups:
            if (subscription := self._subscriptions.get(group)) and subscription.viewport:
                subscription.viewport.has_snapshot = False
            self._send_queue.enqueue(partial(self.send_snapshot, group))

    async def send_snapshot(self, group: str) -> None:
        """Send what the page shows at and below a group between two marks."""
        subscription = self._subscriptions.get(group)
        if subscription is None:
            return  # no longer
        await self._send_mark(group, complete=False)
        if subscription.viewport is None:
            await self.send_tree(group)
        else:
            await self._send_tree_page(subscription.viewport)
        await self._send_mark(group, complete=True)

    async def _send_mark(self, group: str, *, complete: bool) -> None:
        await self._send_queue.send_now("sync", json.dumps({"group": group, "complete": complete}))

    async def _send_tree_page(self, viewport: Viewport) -> None:
        tree_page = await self._in_thread(self._load_tree_page, viewport)
        viewport.apply_snapshot(tree_page)
        await self._send_infos(tree_page.infos)
        await self._send_partial_counts(viewport)

    def _load_tree_page(self, viewport: Viewport) -> TreePage:
        if not self._may_view(viewport.root):
            return TreePage()
        return get_store().pages.first_page(
            viewport.root, viewport.requested, viewport.rows, conf.SNAPSHOT_LIMIT
        )

    async def send_tree(self, id: str) -> bool:
        """Send a job, or a group and all below it; tell whether the user may see it."""
        walk = await self._in_thread(self._walk_visible, id)
        is_seen = False
        while infos := await self._in_thread(list, islice(walk, CHUNK)):
            if infos[0].id == id and not infos[0].is_group:
                answer = await self._in_thread(self._describe_job, infos[0])
                await self._send_queue.send_now("get", answer)
            else:
                await self._send_infos(infos)
            is_seen = True
        return is_seen

    def _describe_job(self, info: Info) -> str:
        """Return a job with all of its result, and where it stands in its queue if it is queued."""
        standing = find_standing(info)
        if standing is None:
            return info.to_wire()
        with translation.override(self._language):
            place = describe_place(info)
        return json.dumps(json.loads(info.to_wire()) | asdict(standing) | {"place": place})

    def _walk_visible(self, id: str) -> Iterator[Info]:
        return get_store().pages.walk(id) if self._may_view(id) else iter(())

    def viewport_with(self, group: str) -> Viewport | None:
        """Return the viewport in which a group is shown."""
        return next(
            (viewport for viewport in self._viewports() if viewport.shows_group(group)), None
        )

    async def send_more(self, viewport: Viewport, group: str) -> None:
        """Send the next members of a group that a viewport shows in part."""
        count = viewport.shown_count(group) + conf.PAGE_ROWS
        request = PageRequest(group, 0, count, newest=viewport.newest_first(group))
        page, size = await self._in_thread(self._load_more, viewport, request)
        viewport.add_page(group, page, is_last=size <= count)
        await self._send_infos(page)
        await self._send_partial_counts(viewport)

    def _load_more(self, viewport: Viewport, request: PageRequest) -> tuple[list[Info], int]:
        """Return what of a page the viewport does not show, and how many members the group has."""
        if not self._may_view(viewport.root):
            return [], 0
        return get_store().pages.load_unknown(request, viewport), get_store().tree.member_count(
            request.group
        )

    async def _send_infos(self, infos: Iterable[Info]) -> None:
        for info in infos:
            await self._send_queue.send_now("get", info.to_wire(conf.RESULT_PREVIEW))

    async def _send_partial_counts(self, viewport: Viewport) -> None:
        for group, shown_count in viewport.take_unreported_counts().items():
            await self._send_queue.send_now(
                "more", json.dumps({"group": group, "covered": shown_count})
            )

    def _viewports(self) -> list[Viewport]:
        return [each.viewport for each in self._subscriptions.values() if each.viewport is not None]
