"""What no client can do to the memory, the log and the answers of the web server."""

import asyncio
import base64
import logging
import os
import socket
import struct
import sys
from contextlib import suppress

import psutil
import pytest
import websockets
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.test import Client

from moi_django.conf import conf
from moi_django.contrib.services import parent_death
from moi_django.protocol import web_server
from tests.helpers.processes import DEADLINE, environment
from tests.helpers.websocket import close_code, connected, hear, say

pytestmark = pytest.mark.django_db(transaction=True)
UNFINISHED = 3_000_000


@pytest.fixture
def user(moi):
    return get_user_model().objects.create_user("ada")


@pytest.fixture
def served(user, site_env):
    """The web server of `moi up` in a process of its own: its address and its process."""
    listening = socket.create_server(("127.0.0.1", 0))
    listening.set_inheritable(True)
    ready, told = os.pipe()
    module = "moi_django.contrib.services.web_server"
    arguments = [str(listening.fileno()), "moi_django.asgi.development", str(told)]
    process = psutil.Popen(
        parent_death.with_parent_death_signal([sys.executable, "-m", module, *arguments]),
        env=environment(**site_env),
        pass_fds=[listening.fileno(), told],
    )
    host, port = listening.getsockname()
    listening.close()
    os.close(told)
    with os.fdopen(ready) as said:
        assert said.read(1), "The server has ended; what it says stands above."
    yield f"{host}:{port}", process
    process.kill()
    process.wait()


def session_of(user):
    client = Client()
    client.force_login(user)
    return client.cookies["sessionid"].value


def open_socket(server, user):
    """Open a websocket by hand."""
    host, port = server.split(":")
    page = socket.create_connection((host, int(port)))
    key = base64.b64encode(os.urandom(16)).decode()
    page.sendall(
        (
            f"GET /moi-ws/ HTTP/1.1\r\nHost: {server}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {key}\r\nCookie: sessionid={session_of(user)}\r\n\r\n"
        ).encode()
    )
    assert page.recv(12) == b"HTTP/1.1 101"
    return page


def send_unfinished(page, size, announced):
    """Begin a frame, and send no more of it."""
    page.sendall(b"\x81" + struct.pack(">BQ", 0xFF, announced) + b"mask")
    try:
        for _ in range(0, size, 65_536):
            page.sendall(b"x" * 65_536)
    except OSError:
        return  # it is closed


def test_unfinished_frames_take_no_memory(served, user):
    server, process = served
    first = open_socket(server, user)
    before = process.memory_info().rss
    pages = [open_socket(server, user) for _ in range(20)]
    for page in pages:
        send_unfinished(page, UNFINISHED, 15_000_000)
    assert process.memory_info().rss - before < 20 * UNFINISHED / 2
    for page in [first, *pages]:
        page.close()


@pytest.mark.parametrize("size", [conf.FRAME_LIMIT + 1, 4 * conf.FRAME_LIMIT + 1, 30_000_000])
def test_a_frame_that_is_too_long_gets_a_code(served, user, size):
    server, _ = served

    async def send(session_id):
        headers = {"Cookie": f"sessionid={session_id}", "Origin": f"http://{server}"}
        async with websockets.connect(
            # It waits for the server, which may start slowly.
            f"ws://{server}/moi-ws/",
            additional_headers=headers,
            open_timeout=DEADLINE,
        ) as connection:
            with suppress(websockets.ConnectionClosed):
                await connection.send("x" * size)
            return await close_code(connection)

    assert asyncio.run(send(session_of(user))) == 1009


def test_a_server_that_takes_in_more_is_told_of_once(caplog):
    class Protocol:
        class config:
            ws_max_size = 16_777_216

        def receive(self):
            pass

    web_server._warn_of.cache_clear()
    for _ in range(3):
        web_server.check_frame_limit(Protocol().receive, 262_144)
    assert [each.getMessage() for each in caplog.records] == [
        "The web server takes in frames of up to 16,777,216 bytes before anybody looks at them: "
        "start it with --ws-max-size=262144."
    ]
    caplog.clear()
    web_server._warn_of.cache_clear()
    web_server.check_frame_limit(Protocol().receive, 16_777_216)
    web_server.check_frame_limit(print, 1)
    assert caplog.records == []


LAYERS = [
    {"BACKEND": "moi_django.layers.MoiChannelLayer"},
    {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": {"hosts": ["URL"]}},
    {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": {"hosts": ["URL"]}},
    {"BACKEND": "channels.layers.InMemoryChannelLayer"},
]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer["BACKEND"].rpartition(".")[2])
async def test_without_redis_a_page_is_told_to_come_again(
    own_redis, moi, settings, layer, request, caplog
):
    config = {name: {"hosts": [own_redis.url]} for name in layer if name == "CONFIG"}
    settings.CHANNEL_LAYERS = {"default": {**layer, **config}}
    user = await sync_to_async(get_user_model().objects.create_user)("ada")
    server = await sync_to_async(request.getfixturevalue)("server")
    logging.getLogger("uvicorn.error").addHandler(caplog.handler)
    async with connected(server, user) as page:
        await say(page, "get", [])
        await hear(page)
        await sync_to_async(own_redis.kill)()
        # It goes on and says so, or is closed where its layer has nothing to offer.
        with suppress(websockets.ConnectionClosed):
            while (await hear(page)) != ("live", False):
                pass
        assert page.close_code in (None, 1013)
    async with connected(server, user) as page:
        assert await close_code(page) == 1013
    logging.getLogger("uvicorn.error").removeHandler(caplog.handler)
    assert "Cannot serve a page" in caplog.text
    ours = [each for each in caplog.records if each.name.startswith(("moi_django", "uvicorn"))]
    assert not [each for each in ours if each.exc_info]
