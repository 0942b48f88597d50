"""Who may do what: every kind of visitor, every way to a job."""

import asyncio

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser, Permission

from moi_django import Group
from moi_django.access import allowed
from tests.records import job_in
from tests.test_tag import render
from tests.test_websocket import close_code, connected, hear, say

pytestmark = pytest.mark.django_db(transaction=True)

VISITORS = {
    "anonymous": None,
    "owner": (),
    "other": (),
    "viewer": ("view_jobs",),
    "operator": ("view_jobs", "change_jobs"),
    "changer": ("change_jobs",),
}
MAY_VIEW = {"owner", "viewer", "operator"}
MAY_CHANGE = {"owner", "operator", "changer"}


def make(name):
    if VISITORS[name] is None:
        return AnonymousUser()
    user = get_user_model().objects.create_user(name)
    user.user_permissions.set(Permission.objects.filter(codename__in=VISITORS[name]))
    return get_user_model().objects.get(pk=user.pk)


@pytest.fixture
def owned(moi, store):
    """A group of the owner, with a job in it."""
    owner = make("owner")
    group = Group.create(owner, "secret group")
    return owner, group, job_in(store, group, "secret job")


@pytest.fixture
def visitor(request, owned):
    return owned[0] if request.param == "owner" else make(request.param)


everybody = pytest.mark.parametrize("visitor", VISITORS, indirect=True)
everybody_else = pytest.mark.parametrize(
    "visitor", [name for name in VISITORS if name != "anonymous"], indirect=True
)


@everybody
def test_in_python(visitor, owned):
    name = visitor.get_username() or "anonymous"
    for info in (owned[1].info, owned[2]):
        assert allowed(visitor, "view", info) == (name in MAY_VIEW)
        assert allowed(visitor, "change", info) == (name in MAY_CHANGE)


@everybody
def test_in_the_tag(visitor, owned):
    name = visitor.get_username() or "anonymous"
    html = render(visitor, "{% moi_jobs group=g %}", g=owned[1].id)
    assert ("secret job" in html) == (name in MAY_VIEW)
    assert ("secret group" in html) is False  # the tag shows what is in it
    assert (" readonly>" not in html) == (name in MAY_VIEW & MAY_CHANGE)


@everybody_else
@pytest.mark.parametrize("verb", ["get", "watch"])
@pytest.mark.parametrize("what", ["group", "job"])
async def test_to_see_by_socket(server, visitor, owned, verb, what):
    id = owned[1].id if what == "group" else owned[2].id
    async with connected(server, visitor) as socket:
        await say(socket, verb, [id])
        answer, _ = await hear(socket)
        assert (answer != "error") == (visitor.username in MAY_VIEW)


@everybody_else
@pytest.mark.parametrize("what", ["group", "job"])
async def test_to_remove_by_socket(server, visitor, owned, store, what):
    id = owned[1].id if what == "group" else owned[2].id
    async with connected(server, visitor) as socket:
        await say(socket, "remove", [id])
        await say(socket, "live", None)
        # Whoever watches it hears of the removal besides.
        while (frame := await hear(socket))[0] == "remove":
            pass
        assert (frame[0] != "error") == (visitor.username in MAY_CHANGE)
    is_gone = await sync_to_async(store.get)(id) is None
    assert is_gone == (visitor.username in MAY_CHANGE)


@everybody_else
async def test_what_others_do_is_not_told(server, visitor, owned, store):
    """Unasked, nobody hears of what is not in their own tree, whatever they might ask for."""
    if visitor == owned[0]:
        return
    async with connected(server, visitor) as socket:
        await say(socket, "get", [])
        await hear(socket)
        await sync_to_async(store.change)(owned[2].id, lambda info: info.changed(status="x"))
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(socket.recv(), 0.3)


async def test_who_is_not_logged_in_gets_no_socket(server):
    async with connected(server, None) as socket:
        assert await close_code(socket) == 4401
