"""A page that does not read costs only itself."""

import asyncio
import logging
import socket
import tracemalloc

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.test import Client

from moi_django import Group
from tests.helpers.processes import wait_for
from tests.helpers.records import job_in
from tests.helpers.websocket import connected, hear, say

pytestmark = pytest.mark.django_db(transaction=True)


async def test_a_page_that_does_not_read_costs_nobody_else_anything(server, moi, store, caplog):
    """Meanwhile the latest of its job waits for it, and after a while it is given up."""
    given_up = "A page takes no frames any more"
    caplog.set_level("INFO", "moi_django")
    logging.getLogger("uvicorn.error").addHandler(caplog.handler)
    moi.update(SEND_TIMEOUT=12, RESULT_PREVIEW=1_000_000)
    user = await sync_to_async(get_user_model().objects.create_user)("ada")
    root = await sync_to_async(Group.of)(user)
    job = await sync_to_async(job_in)(store, root, result="x" * 900_000)
    deaf = await sync_to_async(deaf_page)(server, user)
    try:
        async with connected(server, user) as socket:
            await say(socket, "get", [])
            await hear(socket)
            tracemalloc.start()
            for number in range(30):
                await sync_to_async(store.jobs.change)(
                    job.id, lambda info, n=number: info.changed(status=f"step {n}")
                )
                async with asyncio.timeout(8):
                    while (await hear(socket))[1].get("status") != f"step {number}":
                        pass
            # Of 27 MB, what is being sent, what comes next, and what the other page has just heard.
            assert tracemalloc.get_traced_memory()[0] < 9_000_000
            tracemalloc.stop()
            assert given_up not in caplog.text
        await sync_to_async(wait_for)(lambda: given_up in caplog.text, given_up)
        await sync_to_async(wait_for)(lambda: is_cut_off(deaf), "the end of the connection")
    finally:
        logging.getLogger("uvicorn.error").removeHandler(caplog.handler)
        deaf.close()
    assert not [record for record in caplog.records if record.exc_info]
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [
        each for each in warnings if given_up not in each.message and "ws-max" not in each.message
    ] == []


def is_cut_off(page):
    """Tell whether what has not been read is followed by the end of a connection."""
    page.settimeout(1)
    try:
        while page.recv(1 << 20):
            pass
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


def deaf_page(server, user):
    """Open a websocket and read nothing of what comes."""
    client = Client()
    client.force_login(user)
    host, port = server.split(":")
    page = socket.socket()
    page.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    page.connect((host, int(port)))
    page.sendall(
        (
            f"GET /moi-ws/ HTTP/1.1\r\nHost: {server}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            f"Cookie: sessionid={client.cookies['sessionid'].value}\r\n\r\n"
        ).encode()
    )
    return page
