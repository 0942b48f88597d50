"""The recipes of the page on who may see and change jobs do what they say."""

import re

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model, login
from django.contrib.auth.models import AnonymousUser
from django.contrib.auth.models import Group as Members
from django.contrib.auth.signals import user_logged_in
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse
from django.test import RequestFactory
from django.utils.module_loading import import_string

from moi_django import Group
from moi_django.authorization import allowed
from moi_django.conf import conf
from moi_django.models import State
from tests.helpers.processes import ROOT
from tests.helpers.records import job_in
from tests.helpers.rendering import render
from tests.helpers.websocket import close_code, connected, hear, say

pytestmark = pytest.mark.django_db(transaction=True)
PAGE = (ROOT / "docs/howto/authorize.md").read_text()


def recipe(heading):
    """Return the names that the Python below a heading defines."""
    [section] = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    names = {}
    for block in re.findall(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL):
        exec(block, names)
    return names


@pytest.fixture
def people(moi):
    make = get_user_model().objects.create_user
    return {"ada": make("ada"), "bob": make("bob"), "olga": make("olga", is_staff=True)}


def rights(user, job):
    """Return what a user, as the next request has it, may do with a job."""
    if not user.is_anonymous:
        user = get_user_model().objects.get(pk=user.pk)
    return [action for action in ("view", "change") if allowed(user, action, job)]


def test_staff_may_look(moi, store, people):
    job = job_in(store, Group.of(people["ada"]), "a job")
    moi["AUTHORIZE"] = recipe("Staff may look")["may"]
    assert {name: rights(user, job) for name, user in people.items()} == {
        "ada": ["view", "change"],
        "bob": [],
        "olga": ["view"],
    }


def test_a_team_shares_its_jobs(moi, store, people):
    ada, bob = people["ada"], people["bob"]
    names = recipe("A team shares its jobs")
    moi["AUTHORIZE"] = names["may"]
    job = job_in(store, names["team"]("chemistry"), "a job")
    own = job_in(store, Group.of(bob), "his own")
    members = Members.objects.create(name="chemistry")
    ada.groups.add(members)
    assert rights(ada, job) == ["view", "change"]
    assert rights(bob, job) == rights(AnonymousUser(), job) == rights(ada, own) == []
    assert rights(bob, own) == ["view", "change"]
    ada.groups.remove(members)
    assert rights(ada, job) == []


async def test_a_page_of_the_team_is_live_for_its_members(moi, store, server, people):
    names = await sync_to_async(recipe)("A team shares its jobs")
    moi |= {"AUTHORIZE": names["may"], "SESSION_CHECK": 0.05}
    team = await sync_to_async(names["team"])("chemistry")
    job = await sync_to_async(job_in)(store, team, "a job")
    members = await Members.objects.acreate(name="chemistry")
    await people["ada"].groups.aadd(members)
    shown = await sync_to_async(render)(people["ada"], "{% moi_jobs group=team %}", team=team)
    assert ">a job<" in shown
    assert " readonly>" not in shown
    async with connected(server, people["bob"]) as socket:
        await say(socket, "watch", [team.id])
        assert (await hear(socket))[0] == "error"
    async with connected(server, people["ada"]) as socket:
        await say(socket, "cancel", [job.id])
        await say(socket, "watch", [team.id])
        while (frame := await hear(socket))[1].get("state") != "cancelled":
            assert frame[0] != "error"
        await people["ada"].groups.aremove(members)
        assert await close_code(socket) == 1013


def test_visitors_take_their_jobs_along(moi, monkeypatch):
    monkeypatch.setattr(conf, "find_visitor", conf.find_visitor)
    names = recipe("Visitors who are not logged in")
    ada, names["weigh"] = get_user_model().objects.create_user("ada"), abs

    def visit(request):
        names["try_it"](request)
        login(request, ada)
        return HttpResponse()

    for name in reversed(names["MIDDLEWARE"]):
        visit = import_string(name)(visit)
    try:
        assert visit(RequestFactory().get("/")).status_code == 200
    finally:
        user_logged_in.disconnect(names["keep_jobs"])
    [group] = [each for each in Group.of(ada).traverse() if each.name == "Before you logged in"]
    assert [job.name for job in group.jobs()] == ["A first try"]


async def test_a_page_for_everybody(moi, store, server):
    names = await sync_to_async(recipe)("A page for everybody")
    moi |= {"ANONYMOUS_USER": "visitors", "AUTHORIZE": names["may"]}
    public = await sync_to_async(Group.of)("public results")
    job = await sync_to_async(job_in)(store, public, "a job")
    async with connected(server, None) as socket:
        await say(socket, "watch", [public.id])
        heard = [await hear(socket) for _ in range(4)]
        assert job.id in [told["id"] for verb, told in heard if verb == "get"]
        await say(socket, "remove", [job.id])
        verb, told = await hear(socket)
        assert (verb, told["verb"]) == ("error", "remove")
    assert await sync_to_async(rights)(AnonymousUser(), job) == ["view"]


def test_a_view_of_the_site_lets_change_a_job_who_may(moi, store, people, rf):
    moi["AUTHORIZE"] = recipe("Staff may look")["may"]
    stop = recipe("Your own views")["stop"]
    job = job_in(store, Group.of(people["ada"]), "a job")
    request = rf.post("/")
    for name, error in (("bob", Http404), ("olga", PermissionDenied)):
        request.user = people[name]
        with pytest.raises(error):
            stop(request, job.id)
    request.user = people["ada"]
    stop(request, job.id)
    assert store.jobs.get(job.id).state == State.CANCELLED
