"""What one page watches, and what it is sent of it: snapshots and changes."""

import hashlib
import json
import secrets
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

from channels.layers import get_channel_layer

from moi_django.bridge.bridge import Bridge
from moi_django.bridge.forest import Frame
from moi_django.conf import conf
from moi_django.models import Info
from moi_django.protocol.outbox import Mail, Outbox
from moi_django.protocol.window import Window
from moi_django.site_store import get_store
from moi_django.store.pager import Cut, Outline

# So many infos are read at once for an answer.
CHUNK = 100
# The viewers of this process share no channel layer group with those of another one.
_PROCESS = secrets.token_hex(8)


def layer_group(group: str) -> str:
    """Return the channel layer group of the viewers of a group in this process."""
    # A group's id need not consist of the characters that Channels allows.
    return f"moi.{_PROCESS}.{hashlib.blake2b(group.encode(), digest_size=16).hexdigest()}"


async def deliver(group: str, number: int, frames: list[Frame]) -> None:
    """Hand frames to the viewers of a group in this process."""
    await get_channel_layer(conf.CHANNEL_LAYER).group_send(
        layer_group(group),
        {"type": "moi.frames", "group": group, "number": number, "frames": frames},
    )


@dataclass(slots=True)
class Watched:
    """A group that a page watches."""

    # What the page shows of it; None for all, as moi 0.2 did.
    window: Window | None
    # Number of the last message that was heard.
    heard: int = 0

    def drops(self, verb: str, id: str) -> bool:
        """Tell whether a change does not matter, whatever else it says."""
        return self.window is not None and self.window.drops(verb, id)

    def takes(self, verb: str, id: str, raw: str) -> bool:
        """Tell whether the page is to hear of a change, and take it in."""
        if self.window is None:
            return verb != "count"
        return self.window.takes(verb, id, raw)


class Watching:
    """The groups that one page watches, by way of the bridge and the channel layer."""

    def __init__(
        self,
        bridge: Bridge,
        outbox: Outbox,
        layer: Any,
        channel: str,
        in_thread: Callable[..., Awaitable[Any]],
        may_view: Callable[[str], bool],
    ) -> None:
        self._bridge, self._outbox = bridge, outbox
        self._layer, self._channel = layer, channel
        self._in_thread, self._may_view = in_thread, may_view
        self._watched: dict[str, Watched] = {}

    async def end(self) -> None:
        """Watch nothing any more."""
        for group in self._watched:
            self._bridge.unwatch(group)
        for group in self._watched:
            await self._layer.group_discard(layer_group(group), self._channel)

    async def set(self, groups: Mapping[str, Window | None]) -> None:
        """Watch these groups and no others; snapshots are to follow."""
        for group in [group for group in self._watched if group not in groups]:
            del self._watched[group]
            self._bridge.unwatch(group)
            await self._layer.group_discard(layer_group(group), self._channel)
        for group, window in groups.items():
            if group in self._watched:
                self._watched[group].window = window
                continue
            await self._layer.group_add(layer_group(group), self._channel)
            self._watched[group] = watched = Watched(window)
            watched.heard = max(watched.heard, await self._bridge.watch(group))
        self._outbox.forget_changes()

    def roots(self) -> list[str]:
        """Return the groups that are watched."""
        return list(self._watched)

    def hear(self, group: str, number: int, frames: list[Frame]) -> None:
        """Take in what the bridge tells the viewers of a group."""
        watched = self._watched.get(group)
        if watched is None or number < watched.heard or (number == watched.heard and not frames):
            return
        if number > watched.heard + bool(frames):
            # The channel layer delivers at most once: something was lost.
            self.later_snapshots([group])
        watched.heard = number
        for frame in frames:
            verb, id, _ = frame
            # What waits to be shown, and so is not shown yet, is to be shown as it is then.
            if self._outbox.has_mail(id) or not watched.drops(verb, id):
                self._outbox.post(group, frame)

    async def forward(self, id: str, mail: Mail) -> None:
        """Send a change if the page shows what has changed."""
        watched = [self._watched[root] for root in mail.roots if root in self._watched]
        # Each has to take it in, so this is no any() of a generator.
        taken = [each.takes(mail.verb, id, mail.raw) for each in watched]
        if any(taken):
            await self._outbox.send("update" if mail.verb == "count" else mail.verb, mail.raw)

    async def after_push(self) -> None:
        """Tell what else has changed with some changes."""
        for window in self._windows():
            await self._tell_cuts(window)
            if len(window) > conf.ROWS_LIMIT:
                # It has grown at its top: the page goes back to the newest.
                self.later_snapshots([window.root])

    def later_snapshots(self, groups: Iterable[str] | None = None) -> None:
        """Let snapshots be sent of these watched groups, or of all."""
        for group in self._watched if groups is None else groups:
            if (watched := self._watched.get(group)) and watched.window:
                watched.window.is_settled = False
            self._outbox.later(partial(self.snapshot, group))

    async def snapshot(self, group: str) -> None:
        """Send what the page shows at and below a group between two marks."""
        watched = self._watched.get(group)
        if watched is None:
            return  # no longer
        await self._mark(group, complete=False)
        if watched.window is None:
            await self.send_tree(group)
        else:
            await self._send_outline(watched.window)
        await self._mark(group, complete=True)

    async def _mark(self, group: str, *, complete: bool) -> None:
        await self._outbox.send("sync", json.dumps({"group": group, "complete": complete}))

    async def _send_outline(self, window: Window) -> None:
        outline = await self._in_thread(self._visible_outline, window)
        window.settle(outline)
        await self._send_infos(outline.infos)
        await self._tell_cuts(window)

    def _visible_outline(self, window: Window) -> Outline:
        if not self._may_view(window.root):
            return Outline()
        return get_store().outline(window.root, window.wanted, window.rows, conf.SNAPSHOT_LIMIT)

    async def send_tree(self, id: str) -> bool:
        """Send a job, or a group and all below it; tell whether the user may see it."""
        walk = await self._in_thread(self._visible_walk, id)
        is_seen = False
        while infos := await self._in_thread(list, islice(walk, CHUNK)):
            # Who asks for one job wants to know its result.
            await self._send_infos(infos, whole=not infos[0].is_group and infos[0].id == id)
            is_seen = True
        return is_seen

    def _visible_walk(self, id: str) -> Iterator[Info]:
        return get_store().walk(id) if self._may_view(id) else iter(())

    def window_with(self, group: str) -> Window | None:
        """Return the window in which a group is shown."""
        return next((window for window in self._windows() if window.shows_group(group)), None)

    async def send_more(self, window: Window, group: str) -> None:
        """Send the next members of a group that a window shows in part."""
        count = window.covered(group) + conf.PAGE_ROWS
        cut = Cut(group, 0, count, newest=window.newest_first(group))
        page, size = await self._in_thread(self._visible_rest, window, cut)
        window.extend(group, page, is_last=size <= count)
        await self._send_infos(page)
        await self._tell_cuts(window)

    def _visible_rest(self, window: Window, cut: Cut) -> tuple[list[Info], int]:
        """Return what of a cut the window does not show, and how many members the group has."""
        if not self._may_view(window.root):
            return [], 0
        return get_store().rest_of(cut, window), get_store().size(cut.group)

    async def _send_infos(self, infos: Iterable[Info], *, whole: bool = False) -> None:
        for info in infos:
            await self._outbox.send("get", info.to_wire(None if whole else conf.RESULT_PREVIEW))

    async def _tell_cuts(self, window: Window) -> None:
        for group, covered in window.take_cuts().items():
            await self._outbox.send("more", json.dumps({"group": group, "covered": covered}))

    def _windows(self) -> list[Window]:
        return [each.window for each in self._watched.values() if each.window is not None]
