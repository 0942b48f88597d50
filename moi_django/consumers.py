"""The websocket that a page holds: the protocol of moi 0.2, one JSON verb a frame.

Server to client: `{"add": info}`, `{"update": info}`, `{"remove": info}`, `{"get": info}` answers
a get, `{"sync": {"group": id, "complete": false}}` and the same with true stand around a snapshot,
`{"live": false}` says that Redis is lost, `{"error": {"verb", "id", "reason"}}`.

Client to server: `{"remove": id}`, `{"cancel": id}`, `{"get": [id]}` ([] for everything of mine),
`{"watch": [group id]}` sets what is watched, at first the user's own tree, and asks for snapshots,
`{"live": null}` asks for a sign of life, `{"close": null}`. Where an id stands a list of ids may
stand, and the other way round.
"""

import asyncio
import hashlib
import json
import logging
import secrets
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from channels.consumer import get_handler_name
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.layers import get_channel_layer
from django.db import DatabaseError, close_old_connections

from moi_django import access, owners
from moi_django.bridge import Bridge, bridge
from moi_django.conf import conf
from moi_django.exceptions import MoiError
from moi_django.forest import Frame
from moi_django.frames import Allowance, Mistake, parse
from moi_django.models import Info
from moi_django.sessions import current_user
from moi_django.site import store

logger = logging.getLogger(__name__)

# Close codes.
BAD_FRAME, NOT_LOGGED_IN, NOT_FOUND, TOO_SLOW, TOO_MANY = 4400, 4401, 4404, 4408, 4429
TOO_BIG, TRY_AGAIN = 1009, 1013
# So many frames that are no verb of ours end the connection.
MAX_MISTAKES = 20
UNKNOWN = "There is no job or group with this id that you may {verb}."

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


class JobsConsumer(AsyncWebsocketConsumer):
    """One page: hears what its user may see, and acts on what its user may change."""

    _bridge: Bridge | None = None

    @property
    def channel_layer_alias(self) -> str:
        """The layer that the settings name."""
        return conf.CHANNEL_LAYER

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one connection; whatever ends it, nothing of it stays behind."""
        self._watched: dict[str, int] = {}
        self._mailbox: dict[str, Frame] = {}
        self._answers: deque[Callable[[], Awaitable[None]]] = deque()
        self._wake = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        self._guard: asyncio.Task[None] | None = None
        self._allowance = Allowance(conf.VERBS_PER_SECOND, conf.VERBS_BURST)
        self._mistakes = 0
        self._said_live = True
        self._serving = asyncio.current_task()
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._end()

    async def dispatch(self, message: dict[str, Any]) -> None:
        """Call the handler of a message.

        Channels would visit one thread that all consumers share, to close old database
        connections, before each: one slow query then holds up every socket of the process.
        """
        handler = getattr(self, get_handler_name(message), None)
        if handler is None:
            raise ValueError(f"No handler for message type {message['type']}")
        await handler(message)

    async def connect(self) -> None:
        """Accept, find the user's tree, and begin to watch it."""
        # Accepted even if refused: a browser cannot tell why a handshake failed.
        await self.accept()
        try:
            self._bridge = bridge(deliver)
            self._bridge.join(self._on_live)
            self.root = await self._in_thread(self._find_root)
        except MoiError as error:
            logger.warning("Cannot serve a page: %s", error)
            await self.close(TRY_AGAIN)
            return
        if self.root is None:
            await self.close(NOT_LOGGED_IN)
            return
        self._writer = asyncio.create_task(self._write(), name="moi-writer")
        self._guard = asyncio.create_task(self._check_session(), name="moi-guard")
        self._later(lambda: self._set_watched([self.root]))

    def _find_root(self) -> str | None:
        user = self.scope["user"]
        if user.is_anonymous and not conf.ANONYMOUS_USER:
            return None
        return owners.group_id(user)

    async def _end(self) -> None:
        tasks = [task for task in (self._writer, self._guard) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._bridge is not None:
            for group in self._watched:
                self._bridge.unwatch(group)
            await self._bridge.leave(self._on_live)
        if getattr(self, "channel_layer", None) is not None:
            for group in self._watched:
                await self.channel_layer.group_discard(layer_group(group), self.channel_name)

    async def _check_session(self) -> None:
        """Close the connection when its user is logged out."""
        while True:
            await asyncio.sleep(conf.SESSION_CHECK)
            try:
                user = await self._in_thread(current_user, self.scope)
            except DatabaseError as error:
                logger.warning("Cannot look at the session of a page: %s", error)
                continue
            if user != self.scope["user"]:
                await self.close(NOT_LOGGED_IN)
                return
            self.scope["user"] = user

    async def _in_thread(self, work: Callable[..., Any], *args: Any) -> Any:
        assert self._bridge is not None  # noqa: S101 - connect() has set it

        def run() -> Any:
            try:
                return work(*args)
            finally:
                close_old_connections()

        return await self._bridge.in_thread(run)

    # From the client

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Act on one frame."""
        if self._writer is None:
            return  # refused, its close is on the way
        if not self._allowance.take():
            await self.close(TOO_MANY)
        elif len(text_data or bytes_data or "") > conf.FRAME_LIMIT:
            await self.close(TOO_BIG)
        else:
            await self._obey(text_data)

    async def _obey(self, text: str | None) -> None:
        """Do what a frame says, or tell what is wrong."""
        verb = None
        try:
            verb, ids = parse(text, self._verbs)
            if self._pays(ids):
                await self._verbs[verb](self, ids)
            else:
                await self.close(TOO_MANY)
        except Mistake as mistake:
            await self._complain(verb, None, str(mistake))
            self._mistakes += 1
            if self._mistakes > MAX_MISTAKES:
                await self.close(BAD_FRAME)
        except MoiError as error:
            logger.warning("Cannot do %s for a page: %s", verb, error)
            await self._complain(verb, None, "Cannot be done now: the server has no Redis.")
        except Exception:
            logger.exception("Cannot do %s for a page", verb)
            await self._complain(verb, None, "Cannot be done now: the server made a mistake.")

    def _pays(self, ids: list[str]) -> bool:
        """Count each id as a verb, which it costs; tell whether there were as many left."""
        if len(ids) > conf.VERBS_BURST:
            raise Mistake(f"At most {conf.VERBS_BURST} ids in a frame.")
        return self._allowance.take(max(0, len(ids) - 1))

    async def _get(self, ids: list[str]) -> None:
        """Answer with the info of each id, for a group also of all below it."""
        for id in ids or [self.root]:
            self._later(partial(self._answer, id))

    async def _answer(self, id: str) -> None:
        infos = await self._in_thread(self._visible_tree, id)
        if not infos:
            await self._complain("get", id, UNKNOWN.format(verb="see"))
        for info in infos:
            await self._send_frame("get", info.to_json())

    def _visible_tree(self, id: str) -> list[Info]:
        """Return a job, or a group and all below it; nothing when the user may not see it."""
        return store().tree(id) if self._may("view", id) else []

    async def _remove(self, ids: list[str]) -> None:
        """Remove each job, and each group with all below it."""
        for id in ids:
            if not await self._in_thread(self._remove_one, id):
                await self._complain("remove", id, UNKNOWN.format(verb="remove"))

    async def _cancel(self, ids: list[str]) -> None:
        """Cancel each job, and what is unfinished below each group."""
        for id in ids:
            if not await self._in_thread(self._cancel_one, id):
                await self._complain("cancel", id, UNKNOWN.format(verb="cancel"))

    def _cancel_one(self, id: str) -> bool:
        if not self._may("change", id):
            return False
        store().cancel_below(id)
        return True

    def _remove_one(self, id: str) -> bool:
        return self._may("change", id) and bool(store().remove(id))

    def _may(self, action: access.Action, id: str) -> bool:
        info = store().get(id)
        return info is not None and access.allowed(self.scope["user"], action, info)

    async def _watch(self, ids: list[str]) -> None:
        """Watch these groups and no others, and send a snapshot of each."""
        if len(ids) > conf.WATCH_LIMIT:
            raise Mistake(f"At most {conf.WATCH_LIMIT} groups can be watched by one page.")
        visible = []
        for id in ids:
            if await self._in_thread(self._may, "view", id):
                visible.append(id)
            else:
                await self._complain("watch", id, UNKNOWN.format(verb="see"))
        self._later(lambda: self._set_watched(visible))
        # What is left of other groups; of these ones a snapshot follows.
        self._later(self._forget_changes)
        self._later_snapshots(visible)

    async def _forget_changes(self) -> None:
        self._mailbox.clear()

    async def _live(self, ids: list[str]) -> None:
        """Say whether Redis is there, by which a client knows that this server is."""
        self._later(lambda: self._send_frame("live", json.dumps(self._said_live)))

    async def _close(self, ids: list[str]) -> None:
        """Say goodbye."""
        await self.close()

    _verbs: dict[str, Callable[["JobsConsumer", list[str]], Awaitable[None]]] = {
        "get": _get,
        "remove": _remove,
        "cancel": _cancel,
        "watch": _watch,
        "live": _live,
        "close": _close,
    }

    # From the bridge

    async def moi_frames(self, message: dict[str, Any]) -> None:
        """Take in what the bridge tells the viewers of a group."""
        group, number = message["group"], message["number"]
        heard = self._watched.get(group)
        if heard is None or number < heard or (number == heard and not message["frames"]):
            return
        self._watched[group] = number
        if number > heard + bool(message["frames"]):
            # The channel layer delivers at most once: something was lost.
            self._later_snapshots([group])
        for verb, id, raw in message["frames"]:
            before = self._mailbox.get(id)
            keep = before is not None and before[0] == "add" and verb == "update"
            self._mailbox[id] = ("add" if keep else verb, id, raw)
        self._wake.set()

    def _on_live(self, live: bool) -> None:
        """Say whether Redis is there; once it is back, show what it holds."""
        if live is self._said_live:
            return  # the bridge has just started
        self._said_live = live
        self._later(lambda: self._send_frame("live", json.dumps(live)))
        if live:
            self._later_snapshots(list(self._watched))

    # To the client

    def _later(self, answer: Callable[[], Awaitable[None]]) -> None:
        self._answers.append(answer)
        self._wake.set()

    def _later_snapshots(self, groups: list[str]) -> None:
        for group in groups:
            self._later(partial(self._snapshot, group))

    async def _write(self) -> None:
        """Send answers and changes one after the other: the order is what makes pages right."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._answers or self._mailbox:
                    await self._write_next()
        except TimeoutError:
            logger.info("A page takes no frames any more and is disconnected.")
            await self._give_up()
        except MoiError as error:
            logger.warning("Cannot serve a page any longer: %s", error)
            await self.close(TRY_AGAIN)
        except OSError as error:
            logger.debug("A page is gone: %s", error)
        except Exception:
            logger.exception("Cannot serve a page any longer")
            await self.close(TRY_AGAIN)

    async def _write_next(self) -> None:
        if self._answers:
            await self._answers.popleft()()
        else:
            verb, _, raw = self._mailbox.pop(next(iter(self._mailbox)))
            await self._send_frame(verb, raw)

    async def _give_up(self) -> None:
        """Leave a client that does not read: closing, too, would wait for it."""
        try:
            async with asyncio.timeout(1):
                await self.close(TOO_SLOW)
        except TimeoutError:
            pass
        if self._serving is not None:
            self._serving.cancel()

    async def _set_watched(self, groups: list[str]) -> None:
        assert self._bridge is not None  # noqa: S101 - connect() has set it
        for group in [group for group in self._watched if group not in groups]:
            del self._watched[group]
            self._bridge.unwatch(group)
            await self.channel_layer.group_discard(layer_group(group), self.channel_name)
        for group in [group for group in groups if group not in self._watched]:
            await self.channel_layer.group_add(layer_group(group), self.channel_name)
            self._watched[group] = 0
            self._watched[group] = max(self._watched[group], await self._bridge.watch(group))

    async def _snapshot(self, group: str) -> None:
        """Send all at and below a group between two marks."""
        await self._mark(group, complete=False)
        for info in await self._in_thread(self._visible_tree, group):
            await self._send_frame("get", info.to_json())
        await self._mark(group, complete=True)

    async def _mark(self, group: str, *, complete: bool) -> None:
        await self._send_frame("sync", json.dumps({"group": group, "complete": complete}))

    async def _complain(self, verb: str | None, id: str | None, reason: str) -> None:
        error = {"verb": verb, "reason": reason} | ({"id": id} if id else {})
        raw = json.dumps(error)
        self._later(lambda: self._send_frame("error", raw))

    async def _send_frame(self, verb: str, raw: str) -> None:
        async with asyncio.timeout(conf.SEND_TIMEOUT):
            await self.send(text_data=f'{{"{verb}": {raw}}}')


class NotFoundConsumer(AsyncWebsocketConsumer):
    """Close a socket on any other path with a code that its script can read."""

    channel_layer_alias = "moi: none"

    async def connect(self) -> None:
        """Accept, because before that a browser is not told why, and close."""
        await self.accept()
        await self.close(NOT_FOUND)
