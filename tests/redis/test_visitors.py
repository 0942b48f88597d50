"""Visitors who are not logged in have jobs of their own, by session, and never another's."""

import html

import pytest
import websockets
from asgiref.sync import sync_to_async
from django.conf import settings as django_settings
from django.contrib.auth import get_user_model, login
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpResponse
from django.template import Context, Template
from django.test import AsyncClient, Client, RequestFactory
from django.urls import include, path

from moi_django import Group, asubmit, owners, submit
from moi_django.authorization import allowed
from moi_django.conf import conf
from moi_django.contrib.visitors import pruning
from moi_django.contrib.visitors.middleware import VisitorMiddleware
from moi_django.contrib.visitors.takeover import take_over_jobs
from moi_django.contrib.visitors.visitor import SESSION_KEY, Visitor
from moi_django.exceptions import InvalidJob
from moi_django.models import State
from tests.helpers.records import job_in
from tests.helpers.websocket import close_code, hear, say

pytestmark = pytest.mark.django_db(transaction=True)


# All that the jobs and groups of these tests are called.
OWN, GROUP = "a job", "Before you logged in"
NAMES = [OWN, "first", "second", "her own", "for all", "mine", GROUP]


def submit_job(request):
    return HttpResponse(submit("default", request.user, request.GET["name"], None, abs, -1).id)


async def submit_job_async(request):
    user = await request.auser()
    return HttpResponse((await asubmit("default", user, request.GET["name"], None, abs, -1)).id)


def page(request):
    shown = Template("{% load moi %}{% moi_jobs %}").render(Context({"request": request}))
    return HttpResponse(shown)


def log_in(request):
    login(request, get_user_model().objects.get(username=request.GET["name"]))
    group = take_over_jobs(request) if "takes" in request.GET else None
    return HttpResponse(group.id if group else "")


urlpatterns = [
    path("", page),
    path("submit/", submit_job),
    path("submit-async/", submit_job_async),
    path("login/", log_in),
    path("moi/", include("moi_django.urls")),
]


@pytest.fixture
def visitors(moi, settings, monkeypatch):
    """Let visitors of the site have jobs of their own."""
    monkeypatch.setattr(conf, "find_visitor", conf.find_visitor)
    name = f"{VisitorMiddleware.__module__}.{VisitorMiddleware.__name__}"
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, name]
    settings.ROOT_URLCONF = __name__


@pytest.fixture
def user(moi):
    return get_user_model().objects.create_user("ada")


def submitted(client, name="a job"):
    return client.get("/submit/", {"name": name}).content.decode()


def shown_jobs(client):
    """Return the names of the jobs and groups that a page shows to a visitor."""
    text = html.unescape(client.get("/").content.decode())
    return [name for name in NAMES if f">{name}<" in text]


def is_hidden(client, id):
    """Tell whether a visitor is shown nothing of a job, and cannot act on it."""
    address = f"/moi/jobs/{id}/"
    answers = [client.get(address), client.post(f"{address}act/", {"act": "cancel"})]
    return all(
        answer.status_code == 404 or "/login/" in answer.headers.get("Location", "")
        for answer in answers
    )


def test_each_visitor_has_jobs_of_their_own(visitors, store):
    one, other = Client(), Client()
    id = submitted(one, "first")
    submitted(other, "second")
    assert (shown_jobs(one), shown_jobs(other)) == (["first"], ["second"])
    assert one.get(f"/moi/jobs/{id}/").status_code == 200
    for stranger in (other, Client()):
        assert is_hidden(stranger, id)
    assert store.jobs.get(id).state is State.QUEUED
    one.post(f"/moi/jobs/{id}/act/", {"act": "cancel"})
    assert store.jobs.get(id).state is State.CANCELLED


def test_programs_of_a_visitor_read_the_visitors_own_jobs(visitors, store):
    one, looker = Client(), Client()
    id = submitted(one)
    as_json = {"Accept": "application/json"}
    listed = one.get("/moi/jobs/", headers=as_json).json()
    assert [each["id"] for each in listed["members"]] == [id]
    owned = store.users.to_dict()
    assert looker.get("/moi/jobs/", headers=as_json).status_code == 403
    assert "What you submit appears here." in looker.get("/moi/jobs/").content.decode()
    assert not looker.cookies.get("sessionid")
    for address in (f"/moi/jobs/{id}/", f"/moi/groups/{store.jobs.get(id).owner}/"):
        assert looker.get(address, headers=as_json).status_code == 403
    assert store.users.to_dict() == owned


def test_what_one_submits_later_is_in_the_same_tree(visitors):
    client = Client()
    for name in ("first", "second"):
        submitted(client, name)
    assert shown_jobs(client) == ["first", "second"]


def test_a_session_lives_on_with_the_jobs(visitors):
    client = Client()
    submitted(client)
    assert "sessionid" not in client.get("/").cookies
    assert "sessionid" in client.get("/submit/", {"name": "second"}).cookies


async def test_async_views_know_them_too(visitors, store):
    client = AsyncClient()
    ids = [
        (await client.get("/submit-async/", {"name": "a job"})).content.decode() for _ in range(2)
    ]
    infos = await sync_to_async(store.jobs.get_many)(ids)
    assert len({info.owner for info in infos}) == 1


def test_who_only_looks_leaves_nothing_behind(visitors, store):
    answer = Client().get("/")
    assert "What you submit appears here." in answer.content.decode()
    assert not answer.cookies
    assert store.users.to_dict() == {}


def test_users_are_who_they_were(visitors, user):
    client = Client()
    client.force_login(user)
    submitted(client, "hers")
    assert [job.name for job in Group.of(user).jobs()] == ["hers"]
    assert SESSION_KEY not in client.session


def test_redis_knows_neither_the_session_nor_what_is_in_it(visitors, store):
    client = Client()
    submitted(client)
    secrets = {client.session.session_key, client.session[SESSION_KEY]}
    redis = store.connection.redis
    kept = b"".join(
        key + (redis.dump(key) or b"") for key in redis.keys(f"{store.config.prefix}*")
    ).decode("latin1")
    assert not [secret for secret in secrets if secret in kept]


def test_the_names_of_visitors_are_nobody_elses(visitors, store):
    client = Client()
    id = submitted(client)
    [name] = [name for name in store.users.to_dict() if name.startswith("visitor:")]
    with pytest.raises(InvalidJob, match="does not start with"):
        submit("default", name, "forged", None, abs, 1)
    namesake = get_user_model().objects.create_user(name)
    assert not allowed(namesake, "view", store.jobs.get(id))
    assert Group.of(namesake).id != store.jobs.get(id).owner


@pytest.mark.parametrize("forged", [None, "", "x", 5, ["0" * 32], "0" * 31, "../" + "0" * 32])
def test_what_is_no_key_of_ours_is_none(visitors, forged):
    visitor = Visitor({SESSION_KEY: forged})
    assert visitor.moi_field() is None
    assert owners.find_root_id(visitor) is None


def test_a_session_that_somebody_makes_up_has_no_jobs(visitors):
    client = Client()
    id = submitted(client)
    for cookie in ("x" * 32, client.session[SESSION_KEY], ""):
        stranger = Client()
        stranger.cookies[django_settings.SESSION_COOKIE_NAME] = cookie
        assert shown_jobs(stranger) == []
        assert is_hidden(stranger, id)


def test_a_signed_cookie_that_somebody_changes_has_no_jobs(visitors, settings):
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    client, stranger = Client(), Client()
    id = submitted(client)
    cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
    stranger.cookies[settings.SESSION_COOKIE_NAME] = cookie[:-1] + "xy"[cookie.endswith("x")]
    assert is_hidden(stranger, id)
    assert shown_jobs(client) == ["a job"]


def test_a_session_that_has_ended_has_no_jobs(visitors):
    client = Client()
    id = submitted(client)
    client.session.flush()
    assert shown_jobs(client) == []
    assert is_hidden(client, id)


# The websocket


def socket_of(server, client):
    headers = {"Cookie": f"sessionid={client.cookies['sessionid'].value}"} if client.cookies else {}
    return websockets.connect(
        f"ws://{server}/moi-ws/", origin=f"http://{server}", additional_headers=headers
    )


async def test_a_socket_hears_of_the_visitors_own_jobs(visitors, server, store):
    one, other = Client(), Client()
    own = await sync_to_async(submitted)(one)
    foreign = await sync_to_async(submitted)(other)
    root = (await sync_to_async(store.jobs.get)(own)).owner
    async with socket_of(server, one) as socket:
        await say(socket, "watch", [root])
        while (frame := await hear(socket))[0] != "get" or frame[1]["id"] != own:
            pass
        for verb in ("get", "cancel", "remove", "log"):
            await say(socket, verb, [foreign])
            while (frame := await hear(socket))[0] != "error":
                assert foreign not in str(frame)
            assert (frame[1]["verb"], frame[1]["id"]) == (verb, foreign)
    assert (await sync_to_async(store.jobs.get)(foreign)).state is State.QUEUED


async def test_a_socket_without_jobs_is_told_so(visitors, server):
    client = Client()
    await sync_to_async(client.get)("/")
    async with socket_of(server, client) as socket:
        assert await close_code(socket) == 4401


@pytest.mark.parametrize("ending", ["flush", "login"])
async def test_a_socket_ends_with_its_session(visitors, server, moi, user, ending):
    moi["SESSION_CHECK"] = 0.05
    client = Client()
    await sync_to_async(submitted)(client)
    async with socket_of(server, client) as socket:
        await say(socket, "live", None)
        assert await hear(socket) == ("live", True)
        if ending == "flush":
            await sync_to_async(client.session.flush)()
        else:
            await sync_to_async(client.get)("/login/", {"name": "ada"})
        assert await close_code(socket) == 4401


# Logins


def test_a_login_alone_gives_nobody_the_jobs(visitors, user, store):
    client = Client()
    id = submitted(client)
    client.get("/login/", {"name": "ada"})
    assert shown_jobs(client) == []
    assert is_hidden(client, id)


@pytest.mark.parametrize("has_jobs", [False, True])
def test_a_login_takes_the_jobs_over_where_the_site_says_so(visitors, user, store, has_jobs):
    if has_jobs:
        job_in(store, Group.of(user), "her own")
    client = Client()
    id = submitted(client)
    group = client.get("/login/", {"name": "ada", "takes": ""}).content.decode()
    info = store.jobs.get(id)
    assert info.owner == group
    assert allowed(user, "change", info)
    assert shown_jobs(client) == [OWN, *(["her own"] if has_jobs else []), GROUP]
    assert owners.display_names({group}) == {group: "ada"}
    elsewhere = Client()
    elsewhere.force_login(user)
    page = elsewhere.get(f"/moi/jobs/{id}/")
    assert page.status_code == 200
    assert f">{GROUP}</a>" in html.unescape(page.content.decode())


def test_there_is_nothing_to_take_over_twice_or_of_nobody(visitors, user, store):
    client = Client()
    assert client.get("/login/", {"name": "ada", "takes": ""}).content == b""
    submitted(client)
    assert client.get("/login/", {"name": "ada", "takes": ""}).content == b""
    request = RequestFactory().get("/")
    request.user, request.session = AnonymousUser(), {}
    with pytest.raises(InvalidJob, match="after the login"):
        take_over_jobs(request)


def test_a_planted_session_gives_its_planter_nothing_after_the_login(visitors, user, store):
    planter, victim = Client(), Client()
    bait = submitted(planter, "bait")
    victim.cookies = planter.cookies.copy()
    id = submitted(victim)
    stolen = planter.cookies.copy()
    victim.get("/login/", {"name": "ada", "takes": ""})
    later = submitted(victim, "a job after the login")
    planter.cookies = stolen
    assert shown_jobs(planter) == []
    for each in (bait, id, later):
        assert is_hidden(planter, each)


def test_a_cookie_of_before_the_login_has_the_jobs_no_more(visitors, user, settings, store):
    """A session that is kept in its cookie can be had again after it has changed."""
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    client, thief = Client(), Client()
    id = submitted(client)
    thief.cookies = client.cookies.copy()
    client.get("/login/", {"name": "ada", "takes": ""})
    assert is_hidden(thief, id)
    assert shown_jobs(thief) == []
    new = submitted(thief, "of the thief")
    assert store.jobs.get(new).owner not in (store.jobs.get(id).owner, owners.find_root_id(user))
    get_user_model().objects.create_user("eve")
    thief.get("/login/", {"name": "eve", "takes": ""})
    assert is_hidden(thief, id)


def test_who_logs_in_after_somebody_else_finds_nothing(visitors, user):
    get_user_model().objects.create_user("bob")
    client = Client()
    id = submitted(client)
    client.get("/login/", {"name": "ada"})
    client.get("/login/", {"name": "bob", "takes": ""})
    assert is_hidden(client, id)


# The rest


def test_visitors_whose_jobs_have_expired_leave_the_map(visitors, user, store):
    kept = submitted(Client())
    for number in range(40):
        client = Client()
        id = submitted(client)
        if number % 2:
            client.get("/login/", {"name": "ada", "takes": ""})
        store.connection.redis.delete(store.keys.info(store.jobs.get(id).owner))
    before = len(store.users.to_dict())
    for _ in range(40):
        pruning.drop_expired_visitors()
    left = store.users.to_dict()
    assert len(left) < before
    assert store.jobs.get(kept).owner in left
    assert left[owners.user_field(user)] == Group.of(user).id


def test_the_order_of_middleware_is_told(visitors):
    with pytest.raises(ImproperlyConfigured, match="has to come after"):
        VisitorMiddleware(lambda request: HttpResponse())(RequestFactory().get("/"))


def test_a_shared_name_is_for_those_without_jobs_of_their_own(visitors, moi, store):
    moi["ANONYMOUS_USER"] = "guest"
    job_in(store, Group.of("guest"), "for all")
    client = Client()
    assert shown_jobs(client) == ["for all"]
    submitted(client, "mine")
    assert shown_jobs(client) == ["mine"]
    assert [job.name for job in Group.of("guest").jobs()] == ["for all"]
