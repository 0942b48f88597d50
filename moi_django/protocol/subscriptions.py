"""What one page watches, and what it is sent of it: snapshots and changes."""

import json
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from itertools import islice
from typing import Any
from urllib.parse import parse_qs

from django.conf import settings
from django.http import QueryDict
from django.utils import translation

from moi_django.bridge.frame_batch import FrameBatch, sent_verb
from moi_django.bridge.redis_bridge import Bridge
from moi_django.conf import conf
from moi_django.models import Info
from moi_django.protocol.send_queue import SendQueue, Updates
from moi_django.protocol.viewport import Viewport
from moi_django.site_store import get_store
from moi_django.store.tree_pages import PageRequest, TreePage

# How many infos are read at once for an answer.
CHUNK = 100


def page_language(scope: Mapping[str, Any]) -> str:
    """Return the language of a page, as it says in the address of its websocket."""
    asked = parse_qs(scope["query_string"].decode("latin-1")).get("language", [""])
    with suppress(LookupError):
        return translation.get_supported_language_variant(asked[0])
    return settings.LANGUAGE_CODE


def viewport_maker(scope: Mapping[str, Any]) -> Callable[[str, int, int], Viewport]:
    """Return what makes viewports of a page, by the filter in the address of its websocket."""
    wanted = conf.parse_filter(QueryDict(scope["query_string"]))
    return wanted.make_viewport if wanted else Viewport


class Subscriptions:
    """The groups that one page watches, by way of the bridge."""

    def __init__(
        self,
        bridge: Bridge,
        send_queue: SendQueue,
        in_thread: Callable[..., Awaitable[Any]],
        may_view: Callable[[str], bool],
        language: str,
        takes_lists: bool,
        root: str,
        on_removal: Callable[[], None],
    ) -> None:
        self._bridge, self._send_queue = bridge, send_queue
        self._in_thread, self._may_view = in_thread, may_view
        self._language, self._takes_lists = language, takes_lists
        self._root, self._on_removal = root, on_removal
        # What the page shows of each group that it watches; None for all, as moi 0.2 did.
        self._viewports: dict[str, Viewport | None] = {}

    def unsubscribe_all(self) -> None:
        """Watch nothing any more."""
        for group in list(self._viewports):
            self._unsubscribe(group)

    def _unsubscribe(self, group: str) -> None:
        del self._viewports[group]
        self._bridge.unwatch(group, self._handle_batch)

    async def replace(self, groups: Mapping[str, Viewport | None]) -> None:
        """Watch these groups and no others; snapshots are to follow."""
        for group in self._viewports.keys() - groups.keys():
            self._unsubscribe(group)
        for group, viewport in groups.items():
            is_watched = group in self._viewports
            self._viewports[group] = viewport
            if not is_watched:
                await self._bridge.watch(group, self._handle_batch)
        self._send_queue.drop_updates()

    def group_ids(self) -> list[str]:
        """Return the groups that are watched."""
        return list(self._viewports)

    def _handle_batch(self, group: str, batch: FrameBatch) -> None:
        """Take in what the bridge tells the viewers of a group."""
        viewport = self._viewports[group]
        if self._root in batch.removed:
            self._on_removal()
        if (
            self._takes_lists
            and viewport is not None
            and viewport.has_snapshot
            and viewport.shares_frames
            and not self._send_queue.is_busy
        ):
            shown = viewport.accept_batch(batch.updated, batch.others)
            if shown or batch.others:  # of which it may be told in numbers
                self._send_queue.enqueue(partial(self._send_texts, batch.texts_of(shown)))
            return
        for frame in batch.frames:
            # What waits to be shown, and so is not shown yet, is to be shown as it is then.
            is_ignored = viewport is not None and viewport.ignores(*frame[:2])
            if self._send_queue.has_update(frame[1]) or not is_ignored:
                self._send_queue.put_update(group, frame)

    async def push(self, updates: Updates) -> None:
        """Send those changes that the page shows."""
        shown = []
        for id, update in updates.items():
            viewports = [self._viewports[root] for root in update.roots & self._viewports.keys()]
            change = (update.verb, id, update.raw)
            # Each has to take it in, so this is no any() of a generator.
            taken = [
                update.verb != "count" if each is None else each.accepts(*change)
                for each in viewports
            ]
            if any(taken):
                shown.append((*change, ""))
        if self._takes_lists and self._shown():
            await self._send_texts(FrameBatch(shown).texts_of({id for _, id, *_ in shown}))
        else:
            for verb, _, raw, _ in shown:
                await self._send_queue.send_now(sent_verb(verb), raw)
            await self._after_push()

    async def _send_texts(self, texts: list[str]) -> None:
        for text in texts:
            await self._send_queue.send_text(text)
        await self._after_push()

    async def _after_push(self) -> None:
        """Tell what else has changed with some changes."""
        for viewport in self._shown():
            await self._send_partial_counts(viewport)
            while viewport.hidden:
                await self._send_queue.send_now("remove", json.dumps({"id": viewport.hidden.pop()}))
            if len(viewport) > conf.ROWS_LIMIT:
                # It has grown at its top: the page goes back to the newest.
                self.schedule_snapshots([viewport.root])

    def schedule_snapshots(self, groups: Iterable[str] | None = None) -> None:
        """Let snapshots be sent of these watched groups, or of all."""
        for group in self._viewports if groups is None else groups:
            if (viewport := self._viewports.get(group)) is not None:
                viewport.has_snapshot = False
            self._send_queue.enqueue(partial(self.send_snapshot, group))

    async def send_snapshot(self, group: str) -> None:
        """Send what the page shows at and below a group between two marks."""
        if group not in self._viewports:
            return  # no longer
        await self._send_mark(group, complete=False)
        if (viewport := self._viewports[group]) is None:
            await self.send_tree(group)
        else:
            await self._send_tree_page(viewport)
        await self._send_mark(group, complete=True)

    async def _send_mark(self, group: str, *, complete: bool) -> None:
        await self._send_queue.send_now("sync", json.dumps({"group": group, "complete": complete}))

    async def _send_tree_page(self, viewport: Viewport) -> None:
        tree_page = await self._in_thread(self._load_tree_page, viewport)
        self._bridge.tree_index.note_shown(tree_page.infos)
        viewport.apply_snapshot(tree_page)
        await self._send_infos(tree_page.infos)
        await self._send_partial_counts(viewport)

    def _load_tree_page(self, viewport: Viewport) -> TreePage:
        return viewport.load() if self._may_view(viewport.root) else TreePage()

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
        standing = conf.find_standing(info)
        if standing is None:
            return info.to_wire()
        with translation.override(self._language):
            place = conf.describe_place(info)
        return json.dumps(json.loads(info.to_wire()) | asdict(standing) | {"place": place})

    def _walk_visible(self, id: str) -> Iterator[Info]:
        return get_store().pages.walk(id) if self._may_view(id) else iter(())

    def viewport_with(self, group: str) -> Viewport | None:
        """Return the viewport in which a group is shown."""
        return next((viewport for viewport in self._shown() if viewport.shows_group(group)), None)

    async def send_more(self, viewport: Viewport, group: str) -> None:
        """Send the next members of a group that a viewport shows in part."""
        count = viewport.shown_count(group) + conf.PAGE_ROWS
        request = PageRequest(group, 0, count, newest=viewport.newest_first(group))
        viewport.is_growing = True
        try:
            page, size = await self._in_thread(self._load_more, viewport, request)
        finally:
            viewport.is_growing = False
        self._bridge.tree_index.note_shown(page)
        viewport.add_page(group, page, is_last=size <= count)
        await self._send_infos(page)
        await self._send_partial_counts(viewport)

    def _load_more(self, viewport: Viewport, request: PageRequest) -> tuple[list[Info], int]:
        """Return what of a page the viewport does not show, and how many members the group has."""
        if not self._may_view(viewport.root):
            return [], 0
        size = get_store().tree.member_count(request.group)
        return get_store().pages.load(request, viewport), size

    async def _send_infos(self, infos: Iterable[Info]) -> None:
        for info in infos:
            await self._send_queue.send_now("get", info.to_wire(conf.RESULT_PREVIEW))

    async def _send_partial_counts(self, viewport: Viewport) -> None:
        for group, shown_count in viewport.take_unreported_counts().items():
            await self._send_queue.send_now(
                "more", json.dumps({"group": group, "covered": shown_count})
            )

    def _shown(self) -> list[Viewport]:
        return [viewport for viewport in self._viewports.values() if viewport is not None]
