"""When a waiting job begins: in words, on pages, over the websocket; looked up now and then."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.urls import reverse
from django.utils import translation

from moi_django import Group
from moi_django.contrib.standings import lookup as standings
from moi_django.contrib.standings.place_text import describe_place, describe_standing
from moi_django.contrib.standings.queue_order import Standing
from moi_django.models import State, format_date
from moi_django.store import policy
from moi_django.store.queue import Hold
from tests.helpers.processes import wait_for
from tests.helpers.queues import claim, queued_job
from tests.helpers.records import finish, job_in, new_group
from tests.helpers.rendering import live, render
from tests.helpers.websocket import connected, hear, say

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    ("standing", "text"),
    [
        (Standing(), ""),
        (Standing(1), "next in line"),
        (Standing(2), "number 2 in line"),
        (Standing(1, 0.4), "next in line, starts in about 5 s"),
        (Standing(3, 240), "number 3 in line, starts in about 4 min"),
        (Standing(10_000, 7300), "number 10000 in line, starts in about 2 h"),
        (Standing(9, 86_400 * 3), "number 9 in line, starts in about 3 days"),
        (Standing(hold=Hold.PAUSED), "paused"),
        (Standing(1, 60, Hold.OWNER), "its owner runs as many as are allowed"),
        (Standing(1, 60, Hold.LIMIT), "as many run as its limit allows"),
    ],
)
def test_a_standing_in_words(standing, text):
    assert describe_standing(standing) == text


def test_a_standing_in_other_languages():
    said = Standing(3, 240)
    with translation.override("de"):
        assert describe_standing(said) == "Nummer 3 in der Reihe, beginnt in etwa 4 min"
        assert describe_standing(Standing(hold=Hold.PAUSED)) == "pausiert"
    with translation.override("ar"):
        assert describe_standing(said) == "رقم 3 في الصف، تبدأ بعد نحو 4 د"


def test_only_what_waits_has_a_place(store):
    root = Group.of("ada").info
    jobs = [queued_job(store, root) for _ in range(2)]
    assert [describe_place(job) for job in jobs] == ["next in line", "number 2 in line"]
    running = claim(store).info
    assert (standings.find_standing(running), describe_place(running)) == (None, "")
    assert standings.find_standing(root) is None
    unknown = job_in(store, Group.of("ada"), context="lab")
    assert standings.find_standing(unknown) == Standing()


def test_a_queue_is_looked_at_once_however_many_ask(store, monkeypatch):
    monkeypatch.setattr(standings, "STANDINGS_TTL", 600)
    jobs = [queued_job(store, Group.of("ada").info) for _ in range(20)]

    def calls():
        return store.connection.redis.info("commandstats")["cmdstat_zrange"]["calls"]

    start = threading.Barrier(8)

    def ask(number):
        start.wait()
        return [standings.find_standing(job).position for job in jobs]

    before = calls()
    standings.find_standing(jobs[0])
    cost, between = calls() - before, calls()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(8)))
    assert found == [[*range(1, 21)]] * 8
    assert cost > 0 and calls() == between
    # Later there is another answer.
    monkeypatch.setattr(standings, "STANDINGS_TTL", 0.05)
    standings._found.clear()
    assert standings.find_standing(jobs[1]).position == 2
    claim(store)
    wait_for(lambda: standings.find_standing(jobs[1]).position == 1)


def test_the_first_paint_has_the_place(client, ada, store):
    root = Group.of(ada).info
    jobs = [queued_job(store, root, f"job {number}") for number in range(2)]
    shown = live(render(ada))
    assert shown.count('data-moi="place">next in line</span>') == 1
    assert shown.count('data-moi="place">number 2 in line</span>') == 1
    client.force_login(ada)
    page = client.get(reverse("moi:job", args=[jobs[1].id])).content.decode()
    assert 'data-moi="place">number 2 in line</small>' in page
    finish(store, jobs[1])
    page = client.get(reverse("moi:job", args=[jobs[1].id])).content.decode()
    assert 'data-moi="place"></small>' in page


@pytest.fixture
async def waiting(ada, store):
    root = (await sync_to_async(Group.of)(ada)).info
    return [await sync_to_async(queued_job)(store, root, f"job {n}") for n in range(3)]


def known(info):
    return {name: info[name] for name in ("position", "starts_in", "hold", "place") if name in info}


async def answer(socket, id):
    await say(socket, "get", [id])
    verb, info = await hear(socket)
    assert (verb, info["id"]) == ("get", id)
    return info


async def test_a_page_is_told_where_a_job_stands(server, ada, store, waiting):
    async with connected(server, ada) as socket:
        info = await answer(socket, waiting[2].id)
        assert (info["name"], info["state"]) == ("job 2", "queued")
        place = {"position": 3, "starts_in": None, "hold": None, "place": "number 3 in line"}
        assert known(info) == place
        # A snapshot and all below a group come without.
        await say(socket, "get", [])
        assert [known((await hear(socket))[1]) for _ in range(4)] == [{}] * 4
        await sync_to_async(claim)(store)
        verb, info = await hear(socket)
        assert (verb, info["state"], known(info)) == ("update", "running", {})
        assert known(await answer(socket, waiting[0].id)) == {}


async def test_what_is_held_has_no_position(server, ada, store, waiting):
    await sync_to_async(store.policy.start)(policy.paused("lab"))
    async with connected(server, ada) as socket:
        assert known(await answer(socket, waiting[0].id)) == {
            "position": None,
            "starts_in": None,
            "hold": "paused",
            "place": "paused",
        }


@pytest.mark.parametrize(
    ("query", "place"),
    [
        ("?language=de", "als Nächster an der Reihe"),
        ("?language=pt", "next in line"),
        ("?language=../../x", "next in line"),
        ("?language=%FF%00", "next in line"),
        ("?language=", "next in line"),
    ],
)
async def test_a_place_is_told_in_the_language_of_the_page(server, ada, waiting, query, place):
    async with connected(server, ada, f"/moi-ws/{query}") as socket:
        assert (await answer(socket, waiting[0].id))["place"] == place


async def test_nobody_is_told_where_another_s_job_stands(server, store, waiting):
    eve = await sync_to_async(get_user_model().objects.create_user)("eve")
    async with connected(server, eve) as socket:
        await say(socket, "get", [waiting[0].id])
        verb, error = await hear(socket)
        assert (verb, error["id"]) == ("error", waiting[0].id)
        assert not known(error)


def test_a_redis_that_is_away_keeps_no_page_from_being_shown(moi, ada, store):
    queued_job(store, Group.of(ada).info)
    assert 'data-moi="place">next in line' in render(ada)
    moi["REDIS_URL"] = "redis://127.0.0.1:1/0"
    assert "Your jobs cannot be shown just now." in render(ada)


def test_the_states_that_wait_are_queued_alone(store):
    for state in State:
        job = job_in(store, Group.of("ada"), state=state)
        assert (standings.find_standing(job) is None) == (state is not State.QUEUED)


def test_one_that_is_to_begin_later_says_when(store, settings):
    settings.TIME_ZONE = "Europe/Berlin"
    root, zone = store.users.enrol("ada", new_group), ZoneInfo("Europe/Berlin")
    soon, begun = datetime.now(UTC) + timedelta(seconds=60), datetime.now(UTC) - timedelta(days=1)
    later = [queued_job(store, root, run_after=format_date(time)) for time in (soon, begun)]
    far = queued_job(store, root, run_after="2099-07-14 12:30:00.000000")
    # With its date only on another day.
    is_today = soon.astimezone(zone).date() == datetime.now(zone).date()
    assert describe_place(later[0]).startswith("starts at ")
    assert ("/" in describe_place(later[0])) == (not is_today)
    assert describe_place(later[1]) == "next in line"
    assert describe_place(far) == "starts at 07/14/2099 2:30 p.m. CEST"
    with translation.override("de"):
        assert describe_place(far) == "beginnt um 14.07.2099 14:30 CEST"
