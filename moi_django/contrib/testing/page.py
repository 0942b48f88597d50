"""A page of a user, as its websocket has it: on the consumer itself, with no server between."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Self
from urllib.parse import urlsplit

from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from channels.layers import channel_layers, get_channel_layer
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.db import connections
from django.test import Client
from django.utils.module_loading import import_string

from moi_django.conf import WEBSOCKET_PATH, conf
from moi_django.layers import MoiChannelLayer

# Seconds in which a frame has to come.
WITHIN = 5.0


class PageClosed(AssertionError):
    """Say that the connection of a page was closed; `code` says why."""

    def __init__(self, code: int) -> None:
        super().__init__(f"The connection was closed with code {code}.")
        self.code = code


class MoiPage:
    """`async with MoiPage(user) as page`: a page of a user, None for who is not logged in."""

    def __init__(
        self, user: Any = None, path: str | None = None, headers: Iterable[tuple[str, str]] = ()
    ) -> None:
        """Prepare a page; it connects to the site's ASGI_APPLICATION, or to ours without one."""
        self._user, self._path = user, path or conf.WEBSOCKET_URL or f"/{WEBSOCKET_PATH}"
        self._headers = [("host", "testserver"), ("origin", "http://testserver"), *headers]
        self._communicator: ApplicationCommunicator | None = None
        # What it knows of jobs and groups, as info objects by their ids; and all frames until now.
        self.jobs: dict[str, dict[str, Any]] = {}
        self.frames: list[tuple[str, Any]] = []

    async def connect(self) -> Self:
        """Open the connection and ask for all jobs, as a page does; then it hears of changes.

        Raises PageClosed when it is refused.
        """
        await sync_to_async(_keep_transactions)()
        if self._user is not None:
            cookie = await sync_to_async(self._log_in)()
            self._headers.append(("cookie", cookie))
        _use_private_layer()
        address = urlsplit(self._path)
        headers = [(name.lower().encode(), value.encode()) for name, value in self._headers]
        scope = {
            "type": "websocket",
            "path": address.path,
            "raw_path": address.path.encode(),
            "query_string": address.query.encode(),
            "headers": headers,
            "subprotocols": [],
            "scheme": "ws",
            "server": ("testserver", 80),
            "client": ("127.0.0.1", 1),
        }
        self._communicator = ApplicationCommunicator(_application(), scope)
        await self._communicator.send_input({"type": "websocket.connect"})
        await self.send("get", [])
        await self.receive("get")
        return self

    def _log_in(self) -> str:
        client = Client()
        client.force_login(self._user)
        return "; ".join(f"{each.key}={each.value}" for each in client.cookies.values())

    async def disconnect(self) -> None:
        """Close the connection as a browser does."""
        if self._communicator is not None:
            communicator, self._communicator = self._communicator, None
            await communicator.send_input({"type": "websocket.disconnect", "code": 1000})
            await communicator.wait(WITHIN)

    async def __aenter__(self) -> Self:
        try:
            return await self.connect()
        except BaseException:
            await self.disconnect()
            raise

    async def __aexit__(self, *error: object) -> None:
        await self.disconnect()

    async def send(self, verb: str, payload: Any = None) -> None:
        """Send a frame, such as ("cancel", job.id)."""
        frame = json.dumps({verb: payload})
        await self._connected.send_input({"type": "websocket.receive", "text": frame})

    async def receive(self, verb: str | None = None, within: float = WITHIN) -> Any:
        """Return the payload of the next frame of a verb; without one, both of the next frame.

        Raises AssertionError when none comes within so many seconds, PageClosed when none can.
        """
        async with _deadline(within, f"no {verb or 'frame'}", self):
            while True:
                frame = await self._receive(within)
                if verb is None:
                    return frame
                if frame[0] == verb:
                    return frame[1]

    async def receive_update(self, job: Any = None, within: float = WITHIN) -> dict[str, Any]:
        """Return the info object of the next update, of a job or an id if one is given."""
        id = _id_of(job)
        async with _deadline(within, "no update", self):
            while True:
                verb, info = await self._receive(within)
                if verb == "update" and id in (None, info["id"]):
                    return dict(info)

    async def wait_for(self, job: Any, within: float = WITHIN, **fields: Any) -> dict[str, Any]:
        """Return the info object of a job once the page knows so of it, such as state="failed"."""
        id = _id_of(job)
        async with _deadline(within, f"no {fields} of {job!r}", self):
            while True:
                info = self.jobs.get(id or "", {})
                if info and all(info.get(name) == value for name, value in fields.items()):
                    return info
                await self._receive(within)

    @property
    def _connected(self) -> ApplicationCommunicator:
        if self._communicator is None:
            raise AssertionError("The page is not connected: `await page.connect()`.")
        return self._communicator

    async def _receive(self, within: float) -> tuple[str, Any]:
        message = await self._connected.receive_output(within + 1)
        if message["type"] == "websocket.close":
            raise PageClosed(message.get("code") or 1000)
        if message["type"] == "websocket.accept":
            return "accept", None
        [(verb, payload)] = json.loads(message["text"]).items()
        self.frames.append((verb, payload))
        self._note(verb, payload)
        return verb, payload

    def _note(self, verb: str, payload: Any) -> None:
        for info in payload if isinstance(payload, list) else [payload]:
            if verb in ("add", "get", "update"):
                known = self.jobs.get(info["id"])
                if known is None or info["version"] >= known["version"]:
                    self.jobs[info["id"]] = info
            elif verb == "remove":
                self.jobs.pop(info["id"], None)


@asynccontextmanager
async def _deadline(seconds: float, missing: str, page: MoiPage) -> AsyncIterator[None]:
    """Fail with all that has come when something does not come in time."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        came = "".join(f"\n  {verb}: {_describe(payload)}" for verb, payload in page.frames)
        text = f"There was {missing} within {seconds:g} s. What came:{came or ' nothing'}"
        raise AssertionError(text) from None


def _id_of(job: Any) -> str | None:
    return job if job is None or isinstance(job, str) else str(job.id)


def _keep_transactions() -> None:
    """Let connections of this thread be closed only outside of transactions.

    Each visit to a thread closes old ones, and takes one with the transaction of a test for such.
    """
    for connection in connections.all(initialized_only=True):
        if "close_if_unusable_or_obsolete" not in vars(connection):
            close = partial(_close_unless_in_transaction, connection)
            connection.close_if_unusable_or_obsolete = close  # type: ignore[method-assign]


def _close_unless_in_transaction(connection: Any) -> None:
    if not connection.in_atomic_block:
        type(connection).close_if_unusable_or_obsolete(connection)


def _describe(payload: Any) -> str:
    if isinstance(payload, dict) and "name" in payload:
        return f"{payload['name']!r}, {payload['status']}"
    return f"{payload!s:.200}"


def _use_private_layer() -> None:
    """Put ours in the place of a channel layer of the site that leads to its Redis."""
    alias = conf.CHANNEL_LAYER
    layer = get_channel_layer(alias)
    leads_away = type(layer).__module__.startswith("channels_redis")
    if layer is None or leads_away:
        channel_layers.set(alias, MoiChannelLayer())


def _application() -> Any:
    """Return the application of the site, or ours where that knows no websocket."""
    if path := getattr(settings, "ASGI_APPLICATION", None):
        found = import_string(path)
        if not isinstance(found, ASGIHandler):
            return found
    return import_string("moi_django.asgi.application")
