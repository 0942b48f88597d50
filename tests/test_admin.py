"""The operator's panel as the server renders it: who may see it, what it says, what it does."""

import html
import re

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client

from moi_django import Group
from moi_django.models import State
from moi_django.vitals import Vitals
from tests.records import finish, job_in

pytestmark = pytest.mark.django_db(transaction=True)

PANEL = "/admin/moi_django/alljobs/"
EVIL = "<img src=x onerror=alert(1)>\"'><script>alert(1)</script>"
VISITORS = {
    "anonymous": None,
    "user": (False, ()),
    "user who may": (False, ("view_jobs", "change_jobs")),
    "staff": (True, ()),
    "viewer": (True, ("view_jobs",)),
    "changer": (True, ("change_jobs",)),
    "operator": (True, ("view_jobs", "change_jobs")),
}
MAY_VIEW, MAY_CHANGE = {"viewer", "operator"}, {"operator"}


def client_of(name, **options):
    """Return the client of a visitor of some kind."""
    client = Client(**options)
    if VISITORS[name] is not None:
        is_staff, permissions = VISITORS[name]
        user = get_user_model().objects.create_user(name, is_staff=is_staff)
        user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        client.force_login(user)
    return client


@pytest.fixture
def job(moi, store):
    return job_in(store, Group.of("ada"), "secret job")


@pytest.fixture
def operator(moi):
    return client_of("operator")


everybody = pytest.mark.parametrize("name", VISITORS)


@everybody
def test_who_sees_it(name, job):
    client = client_of(name)
    answer = client.get(PANEL)
    assert (answer.status_code == 200) == (name in MAY_VIEW)
    assert (b"secret job" in answer.content) == (name in MAY_VIEW)
    assert (b'name="action"' in answer.content) == (name in MAY_CHANGE)
    if name not in MAY_VIEW:
        assert answer.status_code == (403 if VISITORS[name] and VISITORS[name][0] else 302)
    is_told = PANEL.encode() in client.get("/admin/").content
    assert is_told == (name in MAY_VIEW)


@everybody
@pytest.mark.parametrize("action", ["cancel", "remove"])
def test_who_acts_in_it(name, action, job, store):
    client = client_of(name)
    answer = client.post(PANEL, {"action": action, "id": [job.id], "confirmed": "yes"})
    present = store.get(job.id)
    is_done = present is None or present.state is State.CANCELLED
    assert is_done == (name in MAY_CHANGE)
    if name in MAY_VIEW - MAY_CHANGE:
        assert answer.status_code == 403


def test_nothing_is_done_without_a_token(job, store):
    client = client_of("operator", enforce_csrf_checks=True)
    data = {"action": "remove", "id": [job.id], "confirmed": "yes"}
    assert client.post(PANEL, data).status_code == 403
    assert store.get(job.id) is not None


@pytest.mark.parametrize("path", ["add/", "1/change/", "1/delete/", "1/history/", "1/"])
def test_there_is_no_other_page(path, operator):
    assert operator.get(PANEL + path).status_code == 404


def said(answer):
    """Return the messages on a page."""
    return [str(message) for message in answer.context["messages"]]


def test_jobs_are_cancelled_in_bulk_once_that_is_confirmed(operator, store):
    group = Group.of("ada")
    jobs = [job_in(store, group, f"job {number}") for number in range(3)]
    finish(store, jobs[2])
    data = {"action": "cancel", "id": [job.id for job in jobs]}
    asked = operator.post(f"{PANEL}?q=job&hours=1", data)
    assert "Cancel 3 jobs? What runs is interrupted." in html.unescape(asked.content.decode())
    assert [job.name in asked.content.decode() for job in jobs] == [True] * 3
    assert store.get(jobs[0].id).state is State.QUEUED
    done = operator.post(f"{PANEL}?q=job&hours=1", {**data, "confirmed": "yes"}, follow=True)
    assert done.redirect_chain == [(f"{PANEL}?q=job&hours=1", 302)]
    assert said(done) == ["2 jobs cancelled.", "1 had ended before."]
    states = [str(store.get(job.id).state) for job in jobs]
    assert states == ["cancelled", "cancelled", "success"]


def test_jobs_are_removed_in_bulk_and_groups_are_not(operator, store):
    group = Group.of("ada")
    jobs = [job_in(store, group, f"job {number}") for number in range(3)]
    ids = [jobs[0].id, jobs[1].id, group.id, "nonsense"]
    data = {"action": "remove", "id": ids, "confirmed": "yes"}
    assert said(operator.post(PANEL, data, follow=True)) == ["2 jobs removed."]
    assert store.members(group.id) == {jobs[2].id}


@pytest.mark.parametrize(
    "data", [{}, {"action": "remove"}, {"action": "destroy"}, {"action": "remove", "id": ["x"]}]
)
def test_what_makes_no_sense_changes_nothing(operator, job, store, data):
    answer = operator.post(PANEL, data, follow=True)
    assert said(answer) == ["Nothing was done: choose jobs that are still there."]
    assert store.get(job.id) == job


def test_the_hook_of_the_site_keeps_jobs_from_operators(operator, job, store, moi):
    moi["AUTHORIZE"] = lambda user, action, info: action == "view"
    data = {"action": "remove", "id": [job.id], "confirmed": "yes"}
    answer = operator.post(PANEL, data, follow=True)
    assert said(answer) == ["Nothing was done: choose jobs that are still there."]
    assert store.get(job.id) == job


def test_what_jobs_and_engines_say_is_text(operator, store):
    group = Group.of(EVIL)
    evil = job_in(store, group, EVIL, context=EVIL, url="javascript:alert(1)")
    store.change(evil.id, lambda info: info.changed(status=EVIL, engine="e"))
    finish(store, evil)
    store.redis.set(store.key(evil.id), store.get(evil.id).to_json().replace("Success", "<s>"))
    store.report(Vitals("<b>", EVIL, EVIL, 1, EVIL))
    answer = operator.get(PANEL, {"q": EVIL, "owner": EVIL})
    page = answer.content.decode()
    confirm = operator.post(PANEL, {"action": "remove", "id": [evil.id]}).content.decode()
    assert html.escape(EVIL) in page
    assert html.escape(EVIL) in confirm
    for found in (page, confirm, operator.get(PANEL).content.decode()):
        assert "<img" not in found
        assert "<script>" not in found
        assert "javascript:" not in found
        assert "<b>" not in found
        assert "<s>" not in found


def test_search_and_filters_are_kept_in_the_address(operator, store):
    for number in range(60):
        job_in(store, Group.of("ada"), f"job {number}", context="default")
    query = {"q": "job", "state": "queued", "context": "default", "owner": "ada", "hours": "1"}
    page = html.unescape(operator.get(PANEL, query).content.decode())
    [older] = re.findall(r'href="(\?[^"]*before=[^"]*)"', page)
    assert set(query) < set(re.findall(r"(\w+)=", older))
    assert 'value="job"' in page
    assert '<option value="queued" selected>' in page
    second = operator.get(PANEL + older).content.decode()
    assert re.findall(r"job (\d+) <small", second) == [str(number) for number in range(9, -1, -1)]
    assert "Newest jobs" in second


@pytest.mark.parametrize(
    "odd", [{"before": "x"}, {"before": "nan:x"}, {"hours": "x"}, {"state": "x"}, {"q": "\x00"}]
)
def test_an_odd_address_does_no_harm(operator, job, odd):
    assert operator.get(PANEL, odd).status_code == 200


def test_it_shows_numbers_of_the_last_hours(operator, store):
    jobs = [job_in(store, Group.of("ada")) for _ in range(5)]
    for job, state in zip(jobs, list(State)[2:], strict=False):
        finish(store, job, state)
    page = operator.get(PANEL, {"hours": 1})
    assert page.context["history"].total.jobs == {
        **dict.fromkeys(["success", "failed", "cancelled", "lost"], 1)
    }
    text = re.sub(r"\s+", " ", page.content.decode())
    assert "4 jobs ended." in text
    assert re.search(r"</time></th> <td>1</td><td>2</td><td>1</td>", text)
    assert text.count('<rect data-part="') == 3
    assert re.search(r"<div><dt>Failed</dt><dd>2</dd></div>", text)


def test_without_redis_it_says_so(operator, moi):
    moi["REDIS_URL"] = "redis://127.0.0.1:1/0"
    answer = operator.get(PANEL)
    assert answer.status_code == 503
    assert b"Is it running" in answer.content
    assert operator.post(PANEL, {"action": "remove", "id": ["x"]}).status_code == 503


def test_it_needs_no_table(operator, job, django_assert_max_num_queries):
    with django_assert_max_num_queries(8):
        assert operator.get(PANEL).status_code == 200
