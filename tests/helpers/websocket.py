"""A plain client of the websocket."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
import websockets
from asgiref.sync import sync_to_async
from django.test import AsyncClient

from moi_django.protocol.user_actions import _users
from tests.helpers.processes import wait_for


@asynccontextmanager
async def connected(server, user, path="/moi-ws/", origin="http://{server}"):
    headers = {}
    if user is not None:
        client = AsyncClient()
        await client.aforce_login(user)
        headers["Cookie"] = f"sessionid={client.cookies['sessionid'].value}"
    if origin is not None:
        headers["Origin"] = origin.format(server=server)
    async with websockets.connect(f"ws://{server}{path}", additional_headers=headers) as socket:
        yield socket


async def hear(socket, within=30):
    """Return the verb and the payload of the next frame."""
    frame = json.loads(await asyncio.wait_for(socket.recv(), within))
    [(verb, payload)] = frame.items()
    return verb, payload


async def hear_but_counts(socket, group):
    """Return the next frame but those of a group, whose size may be told before what it counts."""
    while True:
        verb, payload = await hear(socket)
        if payload["id"] != group.id:
            return verb, payload


async def say(socket, verb, payload):
    await socket.send(json.dumps({verb: payload}))


async def actions_are_over():
    """Return when nothing is done any more that pages of this process have asked for."""

    def are_over():
        return not any(user.is_acting for each in list(_users.values()) for user in each.values())

    await sync_to_async(wait_for)(are_over)


async def close_code(socket):
    with pytest.raises(websockets.ConnectionClosed) as closed:
        while True:
            await hear(socket)
    return closed.value.rcvd.code
