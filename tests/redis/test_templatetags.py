"""{% moi_jobs %} and {% moi_assets %}: what the server renders."""

import re
from dataclasses import replace

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser, Permission
from django.core.exceptions import ImproperlyConfigured
from django.template import Context, Template
from django.test import AsyncRequestFactory
from django.utils.functional import SimpleLazyObject

from moi_django import Group
from moi_django.models import State
from moi_django.pages.status_div import MAX_DEPTH, build_status_div
from tests.helpers.records import finish, job_in
from tests.helpers.rendering import live, render

pytestmark = pytest.mark.django_db


@pytest.fixture
def bob(moi):
    return get_user_model().objects.create_user("bob")


def test_shows_each_job_with_its_status(ada, store):
    root = Group.of(ada)
    job = job_in(store, root, "The hello job", url="/result")
    html = live(render(ada))
    assert "The hello job" in html
    assert "Queued" in html
    assert f'group="{root.id}"' in html
    # The result is not there yet.
    assert f'href="/moi/jobs/{job.id}/"' in html
    finish(store, job)
    assert f'href="/result/{job.id}"' in live(render(ada))


@pytest.mark.parametrize("state", [State.FAILED, State.LOST])
def test_a_row_says_why_a_job_has_failed(ada, store, state):
    traceback = "Traceback (most recent call last):\n  ...\nValueError: <b>no</b> number\n"
    finish(store, job_in(store, Group.of(ada)), state, traceback)
    why = '<small class="moi-error" data-moi="error_line" dir="auto">'
    assert f"{why}ValueError: &lt;b&gt;no&lt;/b&gt; number</small>" in live(render(ada))
    finish(store, job_in(store, Group.of(ada)), State.SUCCESS, traceback)
    assert f"{why}</small>" in live(render(ada))


def test_the_newest_stand_first_and_members_of_a_group_in_order(ada, store):
    root = Group.of(ada)
    job_in(store, root, "first")
    group = Group.create(ada, "a sweep", url="/group")
    job_in(store, group, "second")
    job_in(store, group, "third")
    job_in(store, root, "fourth")
    html = live(render(ada))
    names = re.findall(r'class="moi-name" data-moi="name" dir="auto">([^<]*)<', html)
    assert names == ["fourth", "a sweep", "second", "third", "first"]
    assert f'href="/group/{group.id}"' in html


def test_a_group_has_the_same_order_on_its_own_page(ada, store):
    group = Group.create(ada, "a sweep")
    for number in range(4):
        job_in(store, group, f"job {number}")
    html = live(render(ada, "{% moi_jobs group=g limit=3 %}", g=group))
    names = re.findall(r'class="moi-name" data-moi="name" dir="auto">([^<]*)<', html)
    assert names == ["job 0", "job 1", "job 2"]
    assert 'Show more (<span data-moi="left">1</span>)' in html


def test_a_time_is_for_scripts_in_iso_and_for_people_in_utc(ada, store):
    job_in(store, Group.of(ada), date_created="2026-01-02 15:04:05.000006")
    html = live(render(ada))
    assert 'datetime="2026-01-02T15:04:05.000006Z">2026-01-02 15:04 UTC</time>' in html


@pytest.mark.parametrize("field", ["name", "status", "date_created", "url"])
def test_text_of_a_job_never_is_markup(ada, store, field):
    evil = "\"'><script>alert(1)</script>"
    job = job_in(store, Group.of(ada), **{"name": "x", "url": "/result", field: evil})
    finish(store, job) if field != "status" else None
    html = render(ada)
    assert "<script" not in html
    assert "'><" not in html


@pytest.mark.parametrize(
    "url",
    ["javascript:alert(1)", " javascript:alert(1)", "data:text/html,x", "//evil.example", "\\\\x"],
)
def test_only_harmless_urls_become_links(ada, store, url):
    job = finish(store, job_in(store, Group.of(ada), url=url))
    links = re.findall('href="(.*?)"', live(render(ada)))
    assert [link for link in links if not link.startswith("?")] == [f"/moi/jobs/{job.id}/"]


def test_a_group_can_be_shown_by_id_or_as_it_is(ada, store):
    group = Group.create(ada, "a sweep")
    job_in(store, group, "inside")
    job_in(store, Group.of(ada), "outside")
    for given in (group, group.id, group.info):
        html = live(render(ada, "{% moi_jobs group=g %}", g=given))
        assert "inside" in html
        assert "outside" not in html


def test_another_users_group_is_as_good_as_unknown(ada, bob, store):
    group = Group.create(ada, "secret")
    shown = [
        re.sub(r"\s+", " ", render(bob, "{% moi_jobs group=g %}", g=g))
        for g in (group.id, "00000000-0000-4000-8000-000000000000")
    ]
    assert shown[0] == shown[1]
    assert "There is no such group, or you may not see it." in shown[0]


def test_a_name_is_no_group_and_makes_none(ada, store):
    assert "There is no such group" in render(ada, "{% moi_jobs group='nobody' %}")
    assert store.users.lookup("nobody") is None


def test_who_may_only_view_gets_no_buttons(ada, bob, store):
    group = Group.create(ada, "a sweep")
    bob.user_permissions.add(Permission.objects.get(codename="view_jobs"))
    assert " readonly>" in render(bob, "{% moi_jobs group=g %}", g=group.id)
    assert " readonly>" not in render(ada, "{% moi_jobs group=g %}", g=group.id)


def test_who_is_not_logged_in_is_asked_to(moi):
    html = render(AnonymousUser())
    assert "Log in to see your jobs." in html
    assert 'group=""' in html


def test_visitors_share_the_jobs_of_a_name_that_the_site_gives(moi, store):
    moi["ANONYMOUS_USER"] = "everybody"
    job_in(store, Group.of("everybody"), "public")
    assert "public" in live(render(AnonymousUser()))


def test_a_page_does_not_break_without_redis(ada, moi, caplog):
    moi["REDIS_URL"] = "redis://127.0.0.1:1/0"
    assert "Your jobs cannot be shown just now." in render(ada)
    assert "Cannot show the jobs" in caplog.text


def test_the_limit_keeps_the_newest(ada, store):
    for number in range(5):
        job_in(store, Group.of(ada), f"job {number}")
    html = live(render(ada, "{% moi_jobs limit=2 %}"))
    assert re.findall(r'auto">(job \d)', html) == ["job 4", "job 3"]
    assert 'Show older ones (<span data-moi="left">3</span>)' in html
    assert 'limit="2"' in html


def test_title_and_template_are_the_sites(ada, store):
    job_in(store, Group.of(ada), "x")
    html = render(ada, '{% moi_jobs title="Work" template_name="tests/compact.html" %}')
    assert html == f'<p data-group="{Group.of(ada).id}">Work: x=Queued;</p>\n'
    html = render(ada, "{% moi_jobs title=t %}", t="Work & more")
    assert '<h2 class="moi-title">Work &amp; more</h2>' in html
    assert "<noscript>" in html


def test_groups_nested_without_end_are_shown(ada, store):
    group = Group.of(ada)
    for depth in range(MAX_DEPTH * 3):
        group = Group.create(group, f"depth {depth}")
    html = live(render(ada))
    assert f"depth {MAX_DEPTH * 3 - 1}" in html


def test_a_visitor_stands_at_the_top(ada, store):
    group = Group.create(ada, "a sweep")
    job = job_in(store, Group.of("somebody else"), "linked")
    group.add(job.id)
    [linked, sweep] = build_status_div(ada).rows
    assert (linked.info.id, sweep.info.id, sweep.members) == (job.id, group.id, [])


def test_what_a_foreign_program_wrote_is_shown(ada, store):
    root = Group.of(ada)
    job = replace(job_in(store, root), date_created="yesterday", state=State.SUCCESS, result={})
    store.connection.redis.set(store.keys.info(job.id), job.to_json())
    assert 'datetime="">yesterday UTC</time>' in live(render(ada))


def test_a_template_without_a_user_says_what_is_missing(moi):
    with pytest.raises(ImproperlyConfigured, match="AuthenticationMiddleware"):
        Template("{% load moi %}{% moi_jobs %}").render(Context())


def test_the_socket_is_below_the_site_unless_told_otherwise(ada, moi):
    assert 'socket="/moi-ws/"' in render(ada)
    moi["WEBSOCKET_URL"] = "wss://live.example/moi/"
    assert 'socket="wss://live.example/moi/"' in render(ada)


def test_assets_carry_the_nonce_of_the_policy(ada):
    html = render(ada, "{% moi_assets %}")
    assert 'data-moi-module="moi" src="/static/moi_django/moi.js"></script>' in html
    assert '<link rel="stylesheet" href="/static/moi_django/moi.css">' in html
    assert html.count("nonce") == 0
    elements = html.count("<script") + html.count("<link")
    assert render(ada, "{% moi_assets %}", csp_nonce="abc").count(' nonce="abc"') == elements


def test_a_nonce_that_nobody_has_used_yet_is_used(ada):
    """As that of Django 6 is, which is false until then."""

    class Lazy(SimpleLazyObject):
        def __bool__(self):
            return False

    html = render(ada, "{% moi_assets %}", csp_nonce=Lazy(lambda: "abc"))
    assert ' nonce="abc"' in html


def test_a_developer_is_told_that_the_server_has_no_websockets(ada, moi, settings):
    hint = "This server has no websockets"
    assert hint not in render(ada)
    settings.DEBUG = True
    assert hint in render(ada)
    page = AsyncRequestFactory().get("/")
    page.user = ada
    assert hint not in Template("{% load moi %}{% moi_jobs %}").render(Context({"request": page}))
    moi["WEBSOCKET_URL"] = "wss://elsewhere/"
    assert hint not in render(ada)
