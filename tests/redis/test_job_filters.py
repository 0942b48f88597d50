"""Lists that are filtered by the address of their page, and what is done with many jobs at once."""

import re

import pytest
from django.contrib.auth import get_user_model
from django.http import QueryDict
from django.test import Client

from moi_django import Group
from moi_django.contrib.job_filters import search
from moi_django.contrib.job_filters.page_filter import parse_filter
from moi_django.models import State
from tests.helpers.records import finish, job_in, mark_retried
from tests.helpers.rendering import live, render

pytestmark = pytest.mark.django_db


@pytest.fixture
def client(ada):
    client = Client()
    client.force_login(ada)
    return client


@pytest.fixture
def sweep(ada, store):
    """Jobs in all states, some of them deep in a group of the user's own."""
    root, group = Group.of(ada), Group.create(ada, "Magnets")
    within = Group.create(group, "0.5 K")
    for name, state in (("replica 1", State.SUCCESS), ("replica 2", State.FAILED)):
        finish(store, job_in(store, within, name), state)
    job_in(store, root, "running", state=State.RUNNING)
    job_in(store, root, "waiting")
    again = finish(store, job_in(store, root, "again"), State.FAILED)
    mark_retried(store, again.id, "00000000-0000-4000-8000-000000000000")
    finish(store, job_in(store, root, "lost"), State.LOST)
    job_in(store, Group.of("somebody"), "replica of another")
    return group


def wanted(query):
    return parse_filter(QueryDict(query))


def shown(client, query, address="/"):
    html = live(client.get(f"{address}?{query}").content.decode())
    return re.findall(r'class="moi-name" data-moi="name" dir="auto">([^<]*)<', html), html


def test_a_state_is_a_filter(client, sweep):
    names, html = shown(client, "moi_state=failed")
    assert names == ["lost", "replica 2"]
    assert 'socket="/moi-ws/?moi_state=failed"' in html
    # The tile that is chosen, and the counts of the whole tree.
    assert re.search(r'data-part="failed"[^>]* aria-current="true">2 failed<', html)
    assert re.search(r'data-part="all"[^>]*>5 jobs<', html)
    assert shown(client, "moi_state=running")[0] == ["running"]
    # A group above matters to what is shown, and nothing of what is elsewhere.
    assert shown(client, "moi_state=failed", f"/moi/groups/{sweep.id}/")[0] == ["replica 2"]


def test_a_name_is_searched_in_jobs_and_in_groups_around_them(client, sweep, ada):
    assert shown(client, "moi_name=REPLICA")[0] == ["replica 2", "replica 1"]
    assert shown(client, "moi_name=magn")[0] == ["replica 2", "replica 1"]
    names, html = shown(client, "moi_name=magn&moi_state=success")
    assert names == ["replica 1"]
    # A row says where it belongs, and not what all of them have in common.
    assert '<small class="moi-around"><bdi>Magnets</bdi> › <bdi>0.5 K</bdi></small>' in html
    assert (
        '"moi-around"><bdi>0.5 K</bdi></small>'
        in shown(client, "moi_name=1", f"/moi/groups/{sweep.id}/")[1]
    )
    # The group that is shown has no name to search for; the oldest stand first in it.
    address = f"/moi/groups/{sweep.id}/"
    assert shown(client, "moi_name=magn", address)[0] == []
    names, html = shown(client, "moi_name=0.5", address)
    assert names == ["replica 1", "replica 2"]
    assert 'name="moi_name" value="0.5"' in html
    names, html = shown(client, "moi_name=<nothing>")
    assert names == [] and "No job fits." in html and 'value="&lt;nothing&gt;"' in html


def test_what_runs_may_stand_first(client, sweep):
    names, html = shown(client, "moi_order=running")
    assert names == ["running", "waiting", "lost", "again", "replica 2", "replica 1"]
    assert ">Newest first</a>" in html


def test_the_address_keeps_what_belongs_to_the_site(client, sweep):
    _, html = shown(client, "moi_state=failed&tab=1&moi_name=r")
    assert 'href="?moi_state=success&amp;moi_name=r&amp;tab=1"' in html
    assert 'href="?moi_order=running&amp;moi_state=failed&amp;moi_name=r&amp;tab=1"' in html
    assert 'href="?tab=1"' in html
    for name, value in (("tab", "1"), ("moi_state", "failed")):
        assert f'<input type="hidden" name="{name}" value="{value}">' in html
    _, html = shown(client, "moi_state=queued&tab=1")
    assert "next=%2F%3Fmoi_state%3Dqueued%26tab%3D1" in html


@pytest.mark.parametrize("query", ["", "moi_state=nonsense&moi_order=x&moi_rows=-1", "other=1"])
def test_without_a_filter_all_is_shown(client, sweep, query):
    assert not wanted(query)
    names, html = shown(client, query)
    assert names[-3:] == ["0.5 K", "replica 1", "replica 2"]
    assert 'socket="/moi-ws/"' in html


def test_more_rows_are_a_link_away(client, ada, store, moi):
    for number in range(55):
        job_in(store, Group.of(ada), f"job {number}")
    names, html = shown(client, "moi_state=queued")
    assert names == [f"job {number}" for number in range(54, 4, -1)]
    assert '<a href="?moi_rows=100&amp;moi_state=queued">Show more</a>' in html
    names, html = shown(client, "moi_state=queued&moi_rows=100")
    assert len(names) == 55 and "Show more</a>" not in html
    assert len(shown(client, "moi_state=queued&moi_rows=10")[0]) == 10


def test_no_more_is_looked_at_than_a_page_is_worth(client, ada, store, monkeypatch):
    monkeypatch.setattr(search, "MAX_SCANNED", 200)
    finish(store, job_in(store, Group.of(ada), "the first"))
    for number in range(200):
        job_in(store, Group.of(ada), f"job {number}")
    names, html = shown(client, "moi_state=success")
    assert names == [] and "Older jobs were not searched." in html


def test_a_list_may_do_without(client, ada, sweep):
    html = render(ada, "{% moi_jobs filters=False %}", path="/?moi_state=failed")
    assert "moi-tiles" not in html and "waiting" in live(html)


def test_nobody_finds_the_jobs_of_another(sweep):
    bob = get_user_model().objects.create_user("bob")
    html = render(bob, "{% moi_jobs group=g %}", path="/?moi_name=replica", g=sweep.id)
    assert "There is no such group" in html and "moi-name" not in html


# What a page that watches hears


def frame(info):
    return info.id, info.to_wire()


def test_a_viewport_lets_through_what_fits(ada, store, sweep):
    root = Group.of(ada)
    viewport = wanted("language=en&moi_state=failed&moi_name=magn").make_viewport(root.id, 50, 50)
    page = viewport.load()
    assert [info.name for info in page.infos[1:]] == ["replica 2"]
    viewport.apply_snapshot(page)
    [failed] = page.infos[1:]
    assert viewport.accepts("update", *frame(failed))
    # Neither in this state, nor named so.
    elsewhere = job_in(store, root, "elsewhere", state=State.FAILED)
    within = job_in(store, Group(store.jobs.get(failed.parent)), "new")
    assert not viewport.accepts("add", *frame(elsewhere))
    assert not viewport.accepts("add", *frame(within))
    assert viewport.accepts("update", *frame(finish(store, within, State.FAILED)))
    assert len(viewport) == 3 and viewport.hidden == []
    # What is no failure any more leaves the page.
    mark_retried(store, failed.id, elsewhere.id)
    assert not viewport.accepts("update", *frame(store.jobs.get(failed.id)))
    assert viewport.hidden == [failed.id]
    assert viewport.ignores("remove", failed.id) and not viewport.ignores("update", failed.id)
    assert viewport.accepts("remove", *frame(within))
    # The group that is shown tells of its numbers; others are no rows.
    assert viewport.accepts("count", *frame(root.info))
    late = Group.create(root, "late Magnets")
    assert not viewport.accepts("add", *frame(late.info))
    assert viewport.accepts("add", *frame(job_in(store, late, "x", state=State.FAILED)))
    assert not viewport.shows_group(root.id)


# Many at once


def clear(client, group, act, **more):
    return client.post(f"/moi/groups/{group.id}/clear/?next=/here/", {"act": act, **more})


def test_all_that_has_ended_is_removed_after_a_question(client, ada, store, sweep):
    root = Group.of(ada)
    html = clear(client, root, "remove-finished").content.decode()
    # The group of two, and two beside it.
    assert "Really remove 4 jobs?" in html and 'href="/here/"' in html
    assert store.jobs.get(sweep.id)
    answer = clear(client, root, "remove-finished", confirmed="yes")
    assert answer.url == "/here/"
    assert {info.name for info in store.tree.subtree(root.id)} == {"ada", "running", "waiting"}
    assert "4 jobs removed." in client.get("/moi/groups/" + root.id + "/").content.decode()
    # Nothing is left to ask about.
    assert clear(client, root, "remove-finished").url == "/here/"


def test_a_group_with_something_to_come_stays(client, ada, store, sweep):
    job_in(store, sweep, "late")
    clear(client, Group.of(ada), "remove-finished", confirmed="yes")
    assert store.tree.totals(sweep.id) == {"success": 1, "failed": 1, "queued": 1}


def test_all_that_waits_is_cancelled_after_a_question(client, ada, store, sweep):
    root = Group.of(ada)
    job_in(store, sweep, "late")
    assert "Really cancel 2 jobs?" in clear(client, root, "cancel-waiting").content.decode()
    clear(client, root, "cancel-waiting", confirmed="yes")
    totals = store.tree.totals(root.id)
    assert (totals.get("queued"), totals["cancelled"], totals["running"]) == (None, 2, 1)


def test_nobody_else_can_do_so(client, store, sweep, ada):
    bob = Client()
    bob.force_login(get_user_model().objects.create_user("bob"))
    for act in ("remove-finished", "cancel-waiting"):
        assert clear(bob, sweep, act, confirmed="yes").status_code == 404
    assert client.get(f"/moi/groups/{sweep.id}/clear/").status_code == 405
    assert clear(client, sweep, "nonsense", confirmed="yes").url == "/here/"
    assert len(store.tree.subtree(sweep.id)) == 4


@pytest.mark.parametrize("away", ["https://evil.example/", "//evil.example", "javascript:x", ""])
def test_nobody_is_led_away(client, ada, sweep, away):
    address = f"/moi/groups/{sweep.id}/clear/?next={away}"
    assert client.post(address, {"act": "cancel-waiting"}).url == f"/moi/groups/{sweep.id}/"
    assert Client().get(f"/moi/login/?next={away}").url == "/accounts/login/?next=/"


def test_who_is_not_logged_in_is_led_there_and_back():
    html = Client().get("/?moi_state=failed").content.decode()
    [link] = re.findall(r'<a href="([^"]*)">Log in to see your jobs.</a>', html)
    assert Client().get(link).url == "/accounts/login/?next=/%3Fmoi_state%3Dfailed"


@pytest.mark.parametrize(
    ("query", "offered"),
    [
        ("", ["cancel-waiting", "remove-finished"]),
        ("moi_order=running", ["cancel-waiting", "remove-finished"]),
        ("moi_state=queued", ["cancel-waiting"]),
        ("moi_state=failed", []),
        ("moi_name=late", []),
    ],
)
def test_nothing_is_offered_that_would_concern_what_a_filter_hides(client, sweep, query, offered):
    html = client.get(f"/moi/jobs/?{query}").content.decode()
    found = re.findall(r'name="act" value="([a-z]+-[a-z]+)"', html)
    assert found == offered


def test_a_question_about_all_of_ones_own_jobs_calls_them_so(client, ada, sweep):
    root = Group.of(ada)
    assert (
        "<h1><bdi>Your jobs</bdi></h1>" in clear(client, root, "remove-finished").content.decode()
    )
    html = client.post(f"/moi/groups/{root.id}/act/", {"act": "remove"}).content.decode()
    assert "<h1><bdi>Your jobs</bdi></h1>" in html
