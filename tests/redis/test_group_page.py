"""The page of a group: how the whole is doing, and what may be done with it."""

import re

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client

from moi_django import Group
from tests.helpers.groups import address
from tests.helpers.records import job_in

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def ada(moi, transactional_db):
    return get_user_model().objects.create_user("ada")


@pytest.fixture
def client(ada):
    client = Client()
    client.force_login(ada)
    return client


def text_of(response):
    return response.content.decode()


def head_of(html):
    return html.split('<div class="moi-head"')[1].split("</form>")[0]


def not_the_lot(user, action, info):
    """Hide one group from everybody; of others nothing is said."""
    return False if info.name == "the lot" else None


# What the server renders


def test_the_head_says_how_the_whole_is_doing(client, sweep):
    html = text_of(client.get(address(sweep)))
    head = head_of(html)
    for words in ("1 succeeded", "1 failed", "1 waiting"):
        assert words in head
    assert 'viewBox="0 0 3 1"' in head
    for verb in ("cancel", "retry", "remove"):
        assert f'name="act" value="{verb}"' in head
    assert f'action="{address(sweep, "act_on_group")}"' in html
    assert f'<a href="/moi/groups/{sweep.info.parent}/"><bdi>the lot</bdi></a>' in html
    assert html.count("<h1") == 1


def test_a_group_that_may_not_be_seen_is_no_way_up(client, moi, sweep):
    moi["AUTHORIZE"] = not_the_lot
    assert "the lot" not in text_of(client.get(address(sweep)))


def test_who_may_only_see_has_no_buttons_and_cannot_act(store, sweep):
    bob = get_user_model().objects.create_user("bob")
    client = Client()
    client.force_login(bob)
    act = address(sweep, "act_on_group")
    assert client.get(address(sweep)).status_code == 404
    for given in ({"act": "remove"}, {"act": "remove", "confirmed": "yes"}):
        assert client.post(act, given).status_code == 404
    bob.user_permissions.add(Permission.objects.get(codename="view_jobs"))
    html = text_of(client.get(address(sweep)))
    assert "1 waiting" in html and 'name="act"' not in html
    assert client.post(act, {"act": "cancel", "confirmed": "yes"}).status_code == 404
    assert store.tree.totals(sweep.id) == {"queued": 1, "failed": 1, "success": 1}


def test_a_form_asks_before_it_ends_or_removes(client, store, sweep):
    act = address(sweep, "act_on_group")
    assert client.get(act).status_code == 405
    html = text_of(client.post(act, {"act": "cancel"}))
    assert "Really cancel 1 job?" in html
    assert f'href="{address(sweep)}"' in html and f'action="{act}"' in html
    assert store.tree.totals(sweep.id)["queued"] == 1
    assert client.post(act, {"act": "cancel", "confirmed": "yes"}).url == address(sweep)
    assert store.tree.totals(sweep.id) == {"cancelled": 1, "failed": 1, "success": 1}
    assert "Really remove 3 jobs?" in text_of(client.post(act, {"act": "remove"}))
    answer = client.post(act, {"act": "remove", "confirmed": "yes"})
    assert answer.url == f"/moi/groups/{sweep.info.parent}/"
    assert store.jobs.get(sweep.id) is None
    assert "The group was removed." in text_of(client.get(answer.url))


def test_nothing_is_asked_where_there_is_no_job(client, ada, store):
    group = Group.create(ada, "empty")
    for act in ("cancel", "nonsense", ""):
        assert client.post(address(group, "act_on_group"), {"act": act}).url == address(group)
    client.post(address(group, "act_on_group"), {"act": "remove"})
    assert store.jobs.get(group.id) is None


def test_a_form_needs_its_token(ada, store, sweep):
    client = Client(enforce_csrf_checks=True)
    client.force_login(ada)
    given = {"act": "remove", "confirmed": "yes"}
    assert client.post(address(sweep, "act_on_group"), given).status_code == 403
    assert store.jobs.get(sweep.id)


def test_a_form_says_why_it_cannot_retry(client, sweep):
    answer = client.post(address(sweep, "act_on_group"), {"act": "retry"})
    assert answer.url == address(sweep)
    assert "is not kept" in text_of(client.get(answer.url))


def test_a_users_whole_tree_cannot_be_removed_by_a_page(client, ada, store, sweep):
    root = Group.of(ada)
    assert 'value="remove"' not in text_of(client.get(address(root)))
    given = {"act": "remove", "confirmed": "yes"}
    assert client.post(address(root, "act_on_group"), given).url == address(root)
    assert store.jobs.get(root.id) and store.jobs.get(sweep.id)


def names(html):
    html = re.sub(r"<template.*?</template>", "", html, flags=re.DOTALL)
    return re.findall(r'class="moi-name" data-moi="name" dir="auto">([^<]*)<', html)


def test_without_scripts_more_rows_are_a_link_away(client, ada, store, moi):
    moi["SNAPSHOT_LIMIT"] = 210
    group = Group.create(ada, "a sweep")
    for number in range(205):
        job_in(store, group, f"job {number}")
    html = text_of(client.get(address(group)))
    assert names(html) == [f"job {number}" for number in range(100)]
    assert f'<a href="{address(group)}?moi_rows=200">Show more' in html
    html = text_of(client.get(f"{address(group)}?moi_rows=200"))
    assert len(names(html)) == 200
    assert f"{address(group)}?moi_rows=210" in html
    html = text_of(client.get(f"{address(group)}?moi_rows=999999"))
    assert len(names(html)) == 205 and f'<a href="{address(group)}?moi_rows=' not in html
    for nonsense in ("0", "-1", "x", "1e3", "²", "9" * 5000):
        assert len(names(text_of(client.get(address(group), {"rows": nonsense})))) == 100
    # In a list, too: of the group, and of what is in it.
    html = text_of(client.get("/"))
    assert f'<noscript><p class="moi-note"><a href="{address(group)}">Show more of' in html
    for number in range(2):
        job_in(store, Group.of(ada), f"own {number}")
    root = address(Group.of(ada))
    assert f'<a href="{root}?moi_rows=4">Show older' in text_of(client.get("/?limit=2"))


# In a browser
