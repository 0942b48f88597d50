"""The websocket that a page holds: the protocol of moi 0.2, one JSON verb a frame.

All frames of both sides stand in `docs/reference/websocket.md`; `_verbs` below names those of a
client. Where an id stands a list of ids may stand, and the other way round. Until the first `watch`
all of the user's own tree is watched, as moi 0.2 did.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any

from channels.consumer import get_handler_name
from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer
from django.db import close_old_connections

from moi_django import owners
from moi_django.authorization import Action, sees_all
from moi_django.bridge.redis_bridge import Bridge, get_bridge
from moi_django.conf import conf
from moi_django.exceptions import GroupNotFound, JobNotFound, MoiError
from moi_django.jobs import actions
from moi_django.protocol import web_server
from moi_django.protocol.authentication import check_until_refused, session_user
from moi_django.protocol.frames import Ids, ProtocolError, TokenBucket, parse_frame
from moi_django.protocol.log_tail import LogTails
from moi_django.protocol.send_queue import SendQueue
from moi_django.protocol.subscriptions import Subscriptions, page_language, viewport_maker
from moi_django.protocol.user_actions import UserActions, get_user_actions
from moi_django.protocol.viewport import Viewport
from moi_django.site_store import get_store

logger = logging.getLogger(__name__)

# Close codes.
BAD_FRAME, NOT_LOGGED_IN, NOT_FOUND, TOO_MANY = 4400, 4401, 4404, 4429
TOO_BIG, TRY_AGAIN = 1009, 1013
# How many frames that are no verb of ours a connection may bring before it is closed.
MAX_PROTOCOL_ERRORS = 20
UNKNOWN_ID = "There is no job or group with this id that you may {verb}."


class JobsConsumer(AsyncWebsocketConsumer):
    """One page: hears what its user may see, and acts on what its user may change."""

    _bridge: Bridge | None = None
    _subscriptions: Subscriptions
    _log_tails: LogTails
    _user_actions: UserActions

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one connection; whatever ends it, nothing of it stays behind.

        A page needs no channel of its own in the layer: the bridge has one for all.
        """
        self.scope, self.base_send, self._receive = scope, send, receive
        self._takes_lists = b"lists=1" in scope["query_string"]
        self._send_queue = SendQueue(self._send_text, self._start_sender, self._takes_lists)
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_watching = False
        self._token_bucket = TokenBucket(conf.VERBS_PER_SECOND, conf.VERBS_BURST)
        self._protocol_errors = 0
        self._said_live = True
        self._is_closed = False
        self._serving = asyncio.current_task()
        web_server.check_frame_limit(receive, conf.server_frame_limit)
        try:
            with suppress(StopConsumer):
                while True:
                    await self.dispatch(await receive())
        finally:
            await self._clean_up()

    async def dispatch(self, message: dict[str, Any]) -> None:
        """Call the handler of a message.

        Channels would visit one thread that all consumers share, to close old database
        connections, before each: one slow query then holds up every socket of the process.
        """
        handler = getattr(self, get_handler_name(message), None)
        if handler is None:
            raise ValueError(f"No handler for message type {message['type']}")
        await handler(message)

    async def websocket_disconnect(self, message: dict[str, Any]) -> None:
        """End, and without a visit to that thread, too."""
        raise StopConsumer

    async def connect(self) -> None:
        """Accept, find the user's tree, and begin to watch it."""
        # Accepted even if refused: a browser cannot tell why a handshake failed.
        await self.accept()
        try:
            self._bridge = get_bridge()
            self._bridge.add_consumer(self._on_live_change)
            self.root = await self._in_thread(self._find_root_id)
        except MoiError as error:
            logger.warning("Cannot serve a page: %s", error)
            await self.close(TRY_AGAIN)
            return
        if self.root is None:
            await self.close(NOT_LOGGED_IN)
            return
        self._user_actions = get_user_actions(self.root)
        self._subscriptions = Subscriptions(
            self._bridge,
            self._send_queue,
            self._in_thread,
            partial(self._is_permitted, "view"),
            page_language(self.scope),
            self._takes_lists,
            self.root,
            self._on_removal,
        )
        self._log_tails = LogTails(self._bridge, self._send_queue, self._in_thread)
        self._send_queue.enqueue(partial(self._subscriptions.replace, {self.root: None}))
        self._is_watching = True
        self._start_task(self._check_session(), "moi-session-guard")

    def _start_task(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Let something run beside the connection, and end with it."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._finish_task)

    def _finish_task(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            logger.error("A task of a page has failed", exc_info=error)

    async def close(self, code: int | None = None, reason: str | None = None) -> None:
        """Close the connection, once: a server takes a second time for a mistake."""
        if not self._is_closed:
            self._is_closed = True
            with suppress(OSError):  # the client was faster
                await super().close(code, reason)

    def _find_root_id(self) -> str | None:
        user = self.scope["user"] = conf.find_visitor(self.scope["user"], self.scope.get("session"))
        if owners.find_field(user) is None:
            return None
        try:
            return owners.group_id_of(user)
        except GroupNotFound:  # what has its key is none of ours, and shown as unknown
            return owners.find_root_id(user)

    async def _clean_up(self) -> None:
        if self._is_watching:
            self._log_tails.unfollow_all()
            self._subscriptions.unsubscribe_all()
        self._send_queue.stop_timer()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._bridge is not None:
            self._bridge.change_notifier.remove_listener(self._on_change)
            await self._bridge.remove_consumer(self._on_live_change)

    async def _check_session(self) -> None:
        """Close the connection when its user is logged out or may see less than it shows."""
        assert self._bridge is not None  # noqa: S101 - connect() has set it
        notifier = self._bridge.change_notifier

        async def check() -> int | None:
            shown = [*self._subscriptions.group_ids(), *self._log_tails.job_ids()]
            has_news = self._on_change in notifier
            return await self._in_thread(self._session_close_code, shown, has_news)

        await self.close(await check_until_refused(check, conf.SESSION_CHECK, TRY_AGAIN))

    def _session_close_code(self, shown: list[str], has_news: bool) -> int | None:
        user = session_user(self.scope)
        if user != self.scope["user"]:
            return NOT_LOGGED_IN
        self.scope["user"] = user
        if all(map(self._may_keep_watching, shown)) and (not has_news or sees_all(user)):
            return None
        return TRY_AGAIN  # back again, it hears what it may see now

    def _may_keep_watching(self, id: str) -> bool:
        return self._is_permitted("view", id) or get_store().jobs.get(id) is None

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
        if self._is_closed:
            return  # it was sent before the client knew
        if not self._token_bucket.spend():
            await self.close(TOO_MANY)
        elif len(text_data or bytes_data or "") > conf.FRAME_LIMIT:
            await self.close(TOO_BIG)
        else:
            await self._handle_frame(text_data)

    async def _handle_frame(self, text: str | None) -> None:
        """Do what a frame says, or tell what is wrong."""
        verb = None
        try:
            verb, ids = parse_frame(text, self._verbs)
            if self._spend_tokens(len(ids)):
                await self._verbs[verb](self, ids)
            else:
                await self.close(TOO_MANY)
        except ProtocolError as error:
            self._send_error(verb or error.verb, None, str(error))
            self._protocol_errors += 1
            if self._protocol_errors > MAX_PROTOCOL_ERRORS:
                await self.close(BAD_FRAME)
        except MoiError as error:
            logger.warning("Cannot do %s for a page: %s", verb, error)
            self._send_error(verb, None, "Cannot be done now: the server has no Redis.")
        except Exception:
            logger.exception("Cannot do %s for a page", verb)
            self._send_error(verb, None, "Cannot be done now: the server made a mistake.")

    def _spend_tokens(self, ids: int) -> bool:
        """Count each id as a verb, which it costs; tell whether there were as many left."""
        if ids > conf.VERBS_BURST:
            raise ProtocolError(f"At most {conf.VERBS_BURST} ids in a frame.")
        return self._token_bucket.spend(max(0, ids - 1))

    async def _handle_get(self, ids: Ids) -> None:
        """Answer with the info of each id, for a group also of all below it."""
        for id in ids or [self.root]:
            self._send_queue.enqueue(partial(self._send_tree, id))

    async def _send_tree(self, id: str) -> None:
        if not await self._subscriptions.send_tree(id):
            self._send_error("get", id, UNKNOWN_ID.format(verb="see"))

    async def _act(self, verb: actions.Verb, ids: Ids) -> None:
        """Let each job or group, and what is below it, be acted on beside the connection."""
        if not self._user_actions.admit(len(ids)):
            await self.close(TOO_MANY)
            return
        for id in ids:
            self._start_task(self._act_on(verb, id), "moi-action")

    async def _act_on(self, verb: actions.Verb, id: str) -> None:
        try:
            await self._user_actions.run(partial(actions.act, self.scope["user"], verb, id))
        except JobNotFound:
            self._send_error(verb, id, UNKNOWN_ID.format(verb=verb))
        except MoiError as error:
            self._send_error(verb, id, actions.refusal(error))
        except Exception:
            logger.exception("Cannot %s for a page", verb)
            self._send_error(verb, id, "Cannot be done now: the server made a mistake.")

    def _is_permitted(self, action: Action, id: str) -> bool:
        return actions.find_permitted(self.scope["user"], action, id) is not None

    async def _handle_watch(self, ids: Ids) -> None:
        """Watch these groups and no others, and send a snapshot of each."""
        if len(ids) > conf.WATCH_LIMIT:
            raise ProtocolError(f"At most {conf.WATCH_LIMIT} groups can be watched by one page.")
        visible: dict[str, Viewport | None] = {}
        for id in await self._visible_ids("watch", ids):
            top = min(ids[id] or conf.PAGE_ROWS, conf.SNAPSHOT_LIMIT)
            visible[id] = viewport_maker(self.scope)(id, top, conf.PAGE_ROWS)
        self._send_queue.enqueue(partial(self._subscriptions.replace, visible))
        for group in visible:
            self._send_queue.enqueue(partial(self._subscriptions.send_snapshot, group))

    async def _handle_log(self, ids: Ids) -> None:
        """Send the output of these jobs as it comes, and of no others."""
        if len(ids) > conf.WATCH_LIMIT:
            raise ProtocolError(f"At most {conf.WATCH_LIMIT} jobs can be followed by one page.")
        self._log_tails.replace(await self._visible_ids("log", ids))

    async def _visible_ids(self, verb: str, ids: Ids) -> list[str]:
        """Return which of these the user may see; complain of the others."""
        visible = []
        for id in ids:
            if await self._in_thread(self._is_permitted, "view", id):
                visible.append(id)
            else:
                self._send_error(verb, id, UNKNOWN_ID.format(verb="see"))
        return visible

    async def _handle_more(self, ids: Ids) -> None:
        """Send the next members of groups that are shown in part."""
        for group in ids:
            viewport = self._subscriptions.viewport_with(group)
            if viewport is None:
                self._send_error("more", group, UNKNOWN_ID.format(verb="see"))
            elif len(viewport) + conf.PAGE_ROWS > conf.ROWS_LIMIT:
                reason = f"No more than {conf.ROWS_LIMIT:,} rows are shown: open the group alone."
                self._send_error("more", group, reason)
            else:
                self._send_queue.enqueue(partial(self._subscriptions.send_more, viewport, group))

    async def _handle_news(self, ids: Ids) -> None:
        """Tell from now on when something has changed of the jobs of all users."""
        if self._bridge is not None and await self._in_thread(sees_all, self.scope["user"]):
            self._bridge.change_notifier.add_listener(self._on_change)
        else:
            self._send_error("news", None, "You may not see the jobs of all users.")

    async def _handle_live(self, ids: Ids) -> None:
        """Say whether Redis is there, by which a client knows that this server is."""
        self._send_queue.enqueue(
            lambda: self._send_queue.send_now("live", json.dumps(self._said_live))
        )

    async def _handle_close(self, ids: Ids) -> None:
        """Say goodbye."""
        await self.close()

    _verbs: dict[str, Callable[["JobsConsumer", Ids], Awaitable[None]]] = {
        "get": _handle_get,
        "remove": lambda self, ids: self._act("remove", ids),
        "cancel": lambda self, ids: self._act("cancel", ids),
        "retry": lambda self, ids: self._act("retry", ids),
        "watch": _handle_watch,
        "more": _handle_more,
        "log": _handle_log,
        "news": _handle_news,
        "live": _handle_live,
        "close": _handle_close,
    }

    # From the bridge

    def _on_removal(self) -> None:
        """End a page whose user has another root group from now on, or none."""
        self._start_task(self.close(TRY_AGAIN), "moi-close")

    def _on_change(self) -> None:
        """Say that there is news, for the page to look up."""
        self._send_queue.enqueue_frame("news", "null")

    def _on_live_change(self, live: bool) -> None:
        """Say whether Redis is there; once it is back, show what it holds."""
        if live is self._said_live:
            return  # the bridge has just started
        self._said_live = live
        self._send_queue.enqueue_frame("live", json.dumps(live))
        if live and self._is_watching:
            self._subscriptions.schedule_snapshots()

    # To the client

    async def _send_text(self, text: str) -> None:
        if not self._is_closed:
            await self.send(text_data=text)

    def _start_sender(self) -> None:
        self._start_task(self._send_all(), "moi-sender")

    async def _send_all(self) -> None:
        """Send what is queued; when that cannot be done, end the connection."""
        try:
            await self._send_queue.send_all(lambda updates: self._subscriptions.push(updates))
        except TimeoutError:
            logger.warning("A page takes no frames any more and is disconnected.")
            if not web_server.abort(self._receive) and self._serving is not None:
                self._serving.cancel()  # to close it, too, would wait for its client
        except MoiError as error:
            logger.warning("Cannot serve a page any longer: %s", error)
            await self.close(TRY_AGAIN)
        except OSError as error:
            logger.debug("A page is gone: %s", error)
        except Exception:
            logger.exception("Cannot serve a page any longer")
            await self.close(TRY_AGAIN)

    def _send_error(self, verb: str | None, id: str | None, reason: str) -> None:
        error = {"verb": verb, "reason": reason} | ({"id": id} if id else {})
        self._send_queue.enqueue_frame("error", json.dumps(error))
