"""Who may do what: every kind of visitor, every way to a job."""

import asyncio
import json
from contextlib import suppress

import pytest
import websockets
from asgiref.sync import sync_to_async
from django.contrib.auth.models import AnonymousUser
from django.test import Client

from moi_django import Group, urls
from moi_django.authorization import allowed
from moi_django.consumers import JobsConsumer
from moi_django.models import State
from tests.helpers.records import job_in
from tests.helpers.rendering import render
from tests.helpers.visitors import VISITORS, make
from tests.helpers.websocket import actions_are_over, close_code, connected, hear, say

pytestmark = pytest.mark.django_db(transaction=True)

MAY_VIEW = {"owner", "viewer", "operator"}
MAY_CHANGE = {"owner", "operator", "changer"}

# Who may use each verb of the websocket on what belongs to the owner; None: it names no id.
VERBS = {
    "get": MAY_VIEW,
    "watch": MAY_VIEW,
    "log": MAY_VIEW,
    # It asks for more of what is shown already, and nothing is yet.
    "more": set(),
    "remove": MAY_CHANGE,
    "cancel": MAY_CHANGE,
    "retry": MAY_CHANGE,
    # About the jobs of all users: see test_news.
    "news": None,
    "live": None,
    "close": None,
}
WITH_ID = [verb for verb, who in VERBS.items() if who is not None]


everybody = pytest.mark.parametrize("kind", VISITORS, indirect=True)
on_each = pytest.mark.parametrize("what", ["group", "job"])


def socket_of(server, visitor):
    return connected(server, visitor if visitor.is_authenticated else None)


async def answers(socket):
    """Return the frames that answer what was said, and whatever comes meanwhile."""
    heard = []
    for _ in range(3):  # an answer that is found to be an error stands behind the next one
        await say(socket, "live", None)
        while (frame := await hear(socket))[0] != "live":
            heard.append(frame)
        await actions_are_over()
    return heard


def is_obeyed(heard):
    """Tell whether nothing was refused; who may retry a job may hear that it has not ended."""
    errors = [told for verb, told in heard if verb == "error"]
    return not [told for told in errors if "has not ended" not in told["reason"]]


def test_the_table_has_every_verb():
    assert VERBS.keys() == JobsConsumer._verbs.keys()


@everybody
def test_in_python(kind, visitor, owned):
    for info in (owned[1].info, owned[2]):
        assert allowed(visitor, "view", info) == (kind in MAY_VIEW)
        assert allowed(visitor, "change", info) == (kind in MAY_CHANGE)


@everybody
def test_in_the_tag(kind, visitor, owned):
    html = render(visitor, "{% moi_jobs group=g %}", g=owned[1].id)
    assert ("secret job" in html) == (kind in MAY_VIEW)
    assert ("secret group" in html) is False  # the tag shows what is in it
    assert (" readonly>" not in html) == (kind in MAY_VIEW & MAY_CHANGE)


@everybody
@pytest.mark.parametrize("verb", WITH_ID)
@on_each
async def test_by_socket(server, kind, visitor, owned, store, verb, what):
    id = owned[1].id if what == "group" else owned[2].id
    may = kind in VERBS[verb]
    async with socket_of(server, visitor) as socket:
        if kind == "anonymous":
            assert await close_code(socket) == 4401
        else:
            await say(socket, verb, [id])
            heard = await answers(socket)
            assert is_obeyed(heard) == may
            # Who may not see it is told nothing of it, whatever else is allowed.
            assert kind in MAY_VIEW or not {"get", "add", "update", "remove"} & dict(heard).keys()
    left = await sync_to_async(store.jobs.get)(owned[2].id)
    if may and verb == "remove":
        assert left is None
    elif may and verb == "cancel":
        assert left.state is State.CANCELLED
    else:
        assert left == owned[2]


@pytest.mark.parametrize("kind", ["owner", "operator"], indirect=True)
@pytest.mark.parametrize("verb", WITH_ID)
async def test_nothing_is_obeyed_while_nobody_can_judge(
    server, kind, visitor, owned, store, moi, verb
):
    def fail(user, action, info):
        raise RuntimeError("no answer")

    moi["AUTHORIZE"] = fail
    heard = []
    async with socket_of(server, visitor) as socket:
        await say(socket, verb, [owned[2].id])
        with suppress(websockets.ConnectionClosed):
            heard = await answers(socket)
    assert not {"get", "add", "update", "remove"} & dict(heard).keys()
    assert "error" in dict(heard) or socket.close_code == 1013
    assert await sync_to_async(store.jobs.get)(owned[2].id) == owned[2]


@pytest.mark.parametrize("verb", [verb for verb in WITH_ID if VERBS[verb]])
@on_each
async def test_guests_may_do_everything_in_the_tree_they_share(server, moi, store, verb, what):
    moi["ANONYMOUS_USER"] = "guest"
    group = await sync_to_async(Group.create)("guest", "a group")
    job = await sync_to_async(job_in)(store, group)
    async with socket_of(server, AnonymousUser()) as socket:
        await say(socket, verb, [group.id if what == "group" else job.id])
        assert is_obeyed(await answers(socket))


CODE = ["import os", "os.system('id')"]


@pytest.mark.parametrize("kind", ["guest", "owner", "operator"], indirect=True)
async def test_no_frame_starts_anything(server, kind, visitor, owned, store, moi):
    """Nor writes anything: jobs, groups, results and statuses come from the site alone."""
    moi["VERBS_BURST"] = 1000
    id, group = owned[2].id, owned[1].id
    frames = [
        *({verb: CODE} for verb in ("submit", "run", "system_call", "eval", "retry")),
        *({verb: [id]} for verb in ("add", "update", "status_update", "attach", "create", "sync")),
        {"add": owned[2].to_dict()},
        {"update": {**owned[2].to_dict(), "result": "forged", "version": 99}},
        {"get": [{"id": id}]},
        {"submit": {"cmd": "id", "cmd_type": "system"}},
        {"type": "moi.frames", "group": group, "number": 1, "frames": []},
        *({name: [id]} for name in ("_remove", "moi_frames", "receive", "__init__")),
    ]
    async with socket_of(server, visitor) as socket:
        await answers(socket)
        before = await sync_to_async(everything)(store)
        for frame in frames:
            await socket.send(json.dumps(frame))
            assert "error" in dict(await answers(socket)), frame
    assert await sync_to_async(everything)(store) == before


def everything(store):
    """Return all keys of the site with what they hold, but for what passes."""
    keys = sorted(store.connection.redis.keys(f"{store.config.prefix}*"))
    return {key: store.connection.redis.dump(key) for key in keys}


def test_no_page_takes_anything_but_acts_on_what_is_there():
    """Every other address only shows, so code can come from no form either."""
    takes = [
        pattern.name
        for pattern in urls.urlpatterns
        if Client().options(f"/moi/{_example(pattern)}")["Allow"] != "GET, HEAD"
    ]
    assert takes == ["act", "clear", "act_on_group"]


def _example(pattern):
    path = str(pattern.pattern).replace("<uuid:id>", "0" * 8 + "-0000-4000-8000-" + "0" * 12)
    return path.replace("<name>", "x")


async def test_what_redis_shows_somebody_is_seen_and_not_touched(server, owned, store):
    """Whoever can write to Redis may put any job into any group: that is what `add` is for."""
    other = await sync_to_async(make)("other")
    root = await sync_to_async(Group.of)(other)
    id = owned[2].id
    async with connected(server, other) as socket:
        await say(socket, "get", [])
        await hear(socket)
        message = json.dumps({"add": [id]})
        await sync_to_async(store.connection.redis.publish)(store.keys.channel(root.id), message)
        verb, info = await hear(socket)
        assert (verb, info["id"]) == ("add", id)
        for verb in ("remove", "cancel"):
            await say(socket, verb, [id])
            assert "error" in dict(await answers(socket))
    assert await sync_to_async(store.jobs.get)(id) == owned[2]


@pytest.mark.parametrize(
    "kind", [kind for kind in VISITORS if kind not in ("anonymous", "owner")], indirect=True
)
async def test_what_others_do_is_not_told(server, kind, visitor, owned, store):
    """Unasked, nobody hears of what is not in their own tree, whatever they might ask for."""
    async with socket_of(server, visitor) as socket:
        await say(socket, "get", [])
        await hear(socket)
        await sync_to_async(store.jobs.change)(owned[2].id, lambda info: info.changed(status="x"))
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(socket.recv(), 0.3)
