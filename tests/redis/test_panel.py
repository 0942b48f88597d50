"""The operator's panel as the server renders it: who may see it, what it says, what it does."""

import html
import re

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client

from moi_django import Group
from moi_django.contrib.monitoring import job_search
from moi_django.contrib.panel import bulk_actions
from moi_django.models import State
from moi_django.pages.page_urls import detail_url
from moi_django.store import policy
from moi_django.store.engines import EngineMetrics
from tests.helpers.queues import claim, queued_job
from tests.helpers.records import finish, job_in, mark_retried

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
ENDS = [State.SUCCESS, State.FAILED, State.LOST, State.CANCELLED]
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
    present = store.jobs.get(job.id)
    is_done = present is None or present.state is State.CANCELLED
    assert is_done == (name in MAY_CHANGE)
    if name in MAY_VIEW - MAY_CHANGE:
        assert answer.status_code == 403


def test_nothing_is_done_without_a_token(job, store):
    client = client_of("operator", enforce_csrf_checks=True)
    data = {"action": "remove", "id": [job.id], "confirmed": "yes"}
    assert client.post(PANEL, data).status_code == 403
    assert store.jobs.get(job.id) is not None


def breadcrumbs(answer):
    """Return the kind of element that the breadcrumbs of a page are, and their words."""
    found = re.findall(r'<(div|ol) class="breadcrumbs">(.*?)</\1>', answer.content.decode(), re.S)
    [(kind, inside)] = found
    return kind, re.sub(r"<[^>]+>|&rsaquo;", " ", inside).split()


def test_breadcrumbs_are_what_this_django_styles(operator, job):
    kind, _ = breadcrumbs(operator.get("/admin/moi_django/"))
    asked = operator.post(PANEL, {"action": "cancel", "id": [job.id]})
    assert breadcrumbs(operator.get(PANEL)) == (kind, ["Home", "moi", "Jobs", "of", "all", "users"])
    assert breadcrumbs(asked) == (kind, ["Home", "moi", "Jobs", "of", "all", "users", "Cancel"])


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
    assert store.jobs.get(jobs[0].id).state is State.QUEUED
    done = operator.post(f"{PANEL}?q=job&hours=1", {**data, "confirmed": "yes"}, follow=True)
    assert done.redirect_chain == [(f"{PANEL}?q=job&hours=1", 302)]
    assert said(done) == ["2 jobs cancelled.", "1 job had ended before."]
    states = [str(store.jobs.get(job.id).state) for job in jobs]
    assert states == ["cancelled", "cancelled", "success"]


def test_what_is_done_is_said_on_the_button_that_does_it(operator, store):
    jobs = [job_in(store, Group.of("ada")) for _ in range(3)]
    for number, words in ((1, "Yes, cancel 1 job"), (3, "Yes, cancel 3 jobs")):
        data = {"action": "cancel", "id": [job.id for job in jobs[:number]]}
        assert f">{words}</button>" in operator.post(PANEL, data).content.decode()


def test_why_jobs_are_not_retried_or_removed(operator, store):
    jobs = [job_in(store, Group.of("ada"), name) for name in ("waits", "has ended")]
    finish(store, jobs[1])
    data = {"action": "retry", "id": [job.id for job in jobs], "confirmed": "yes"}
    reasons = "they have not ended, succeeded, were retried before, or their functions are not kept"
    assert said(operator.post(PANEL, data, follow=True)) == [
        f"2 jobs could not be retried: {reasons}."
    ]
    reasons = "it has not ended, succeeded, was retried before, or its function is not kept"
    assert said(operator.post(PANEL, {**data, "id": [jobs[0].id]}, follow=True)) == [
        f"1 job could not be retried: {reasons}."
    ]


def test_all_that_match_are_offered_where_there_are_other_pages(operator, store):
    group = Group.of("ada")
    for number in range(job_search.PAGE_SIZE):
        job_in(store, group, f"job {number}")
    offer = b'<input type="checkbox" name="all"'
    assert offer not in operator.get(PANEL).content
    job_in(store, group, "one more")
    assert offer in operator.get(PANEL).content
    assert offer not in operator.get(PANEL, {"q": "one more"}).content


def hidden(answer):
    """Return what the page that asks sends when it is answered with yes."""
    fields = re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', answer.content.decode())
    return {name: value for name, value in fields if name != "csrfmiddlewaretoken"}


def test_all_that_match_are_cancelled_and_none_that_came_later(operator, store):
    group = Group.of("ada")
    jobs = [job_in(store, group, f"job {number}") for number in range(job_search.PAGE_SIZE + 20)]
    other = job_in(store, group, "another")
    finish(store, jobs[0])
    address = f"{PANEL}?q=job&owner=ada"
    asked = operator.post(address, {"action": "cancel", "all": "yes"})
    text = html.unescape(asked.content.decode())
    assert "Cancel 69 jobs? What runs is interrupted." in text
    assert text.count("<li>") - text.count("<li class") >= job_search.PAGE_SIZE + 1
    assert "and 19 more" in text
    later = job_in(store, group, "job that came later")
    done = operator.post(address, {**hidden(asked), "confirmed": "yes"}, follow=True)
    assert said(done) == ["69 jobs cancelled."]
    assert {store.jobs.get(job.id).state for job in jobs[1:]} == {State.CANCELLED}
    assert {store.jobs.get(job.id).state for job in (other, later)} == {State.QUEUED}


def test_all_that_match_takes_no_longer_than_a_request_may(operator, store, monkeypatch):
    jobs = [job_in(store, Group.of("ada")) for _ in range(5)]
    asked = operator.post(PANEL, {"action": "remove", "all": "yes"})
    monkeypatch.setattr(bulk_actions, "MAX_SECONDS", 0)
    done = operator.post(PANEL, {**hidden(asked), "confirmed": "yes"}, follow=True)
    assert said(done) == ["1 job removed.", "There was no time for 4 jobs: do it again."]
    assert [store.jobs.get(job.id) is None for job in jobs] == [False] * 4 + [True]


def test_the_hook_of_the_site_keeps_jobs_from_those_who_choose_all(operator, store, moi):
    jobs = [job_in(store, Group.of("ada"), name) for name in ("mine", "theirs")]
    moi["AUTHORIZE"] = lambda user, action, info: action == "view" or info.name == "mine"
    asked = operator.post(PANEL, {"action": "cancel", "all": "yes"})
    operator.post(PANEL, {**hidden(asked), "confirmed": "yes"})
    assert [store.jobs.get(job.id).state for job in jobs] == [State.CANCELLED, State.QUEUED]


def test_jobs_are_removed_in_bulk_and_groups_are_not(operator, store):
    group = Group.of("ada")
    jobs = [job_in(store, group, f"job {number}") for number in range(3)]
    ids = [jobs[0].id, jobs[1].id, group.id, "nonsense"]
    data = {"action": "remove", "id": ids, "confirmed": "yes"}
    assert said(operator.post(PANEL, data, follow=True)) == ["2 jobs removed."]
    assert store.tree.members(group.id) == {jobs[2].id}


@pytest.mark.parametrize(
    "data", [{}, {"action": "remove"}, {"action": "destroy"}, {"action": "remove", "id": ["x"]}]
)
def test_what_makes_no_sense_changes_nothing(operator, job, store, data):
    answer = operator.post(PANEL, data, follow=True)
    assert said(answer) == ["Nothing was done: choose jobs that are still there."]
    assert store.jobs.get(job.id) == job


def test_the_hook_of_the_site_keeps_jobs_from_operators(operator, job, store, moi):
    moi["AUTHORIZE"] = lambda user, action, info: action == "view"
    data = {"action": "remove", "id": [job.id], "confirmed": "yes"}
    answer = operator.post(PANEL, data, follow=True)
    assert said(answer) == ["Nothing was done: choose jobs that are still there."]
    assert store.jobs.get(job.id) == job


def test_what_jobs_and_engines_say_is_text(operator, store):
    group = Group.of(EVIL)
    evil = job_in(store, group, EVIL, context=EVIL, url="javascript:alert(1)")
    store.jobs.change(evil.id, lambda info: info.changed(status=EVIL, engine="e"))
    finish(store, evil)
    store.connection.redis.set(
        store.keys.info(evil.id), store.jobs.get(evil.id).to_json().replace("Success", "<s>")
    )
    store.engines.report(EngineMetrics("<b>", EVIL, EVIL, 1, EVIL))
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
    assert re.findall(r"job (\d+)</bdi>", second) == [str(number) for number in range(9, -1, -1)]
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
    assert re.search(r">Failed</a></dt><dd>2</dd>", text)


def test_a_tile_leads_to_the_jobs_that_it_counts(operator, store):
    group = Group.of("ada")
    jobs = {state: finish(store, job_in(store, group, f"was {state}"), state) for state in ENDS}
    job_in(store, group, "waits")
    later = job_in(store, group, "comes later", attempts=2)
    store.jobs.change(later.id, lambda info: info.requeued(State.FAILED, "x"), delay=60)
    page = operator.get(PANEL, {"hours": 1}).content.decode()
    tiles = re.findall(r'<dt><a href="([^"]+)">([^<]+)</a></dt><dd>(\d+)</dd>', page)
    assert [number for *_, number in tiles] == ["2", "0", "1", "1", "2", "1"]
    for address, name, number in tiles:
        answer = operator.get(PANEL + html.unescape(address))
        assert len(answer.context["rows"]) == int(number), name
        assert f'aria-current="true">{name}</a>' in answer.content.decode()
        assert answer.context["history"].hours == 1
    failed = operator.get(PANEL, {"state": "failed"}).context["rows"]
    assert {row.info for row in failed} == {jobs["failed"], jobs["lost"]}


def test_a_row_says_in_which_groups_a_job_is(operator, store):
    sweep = Group.create("ada", "A sweep")
    inner = Group.create(sweep, "0.5 K")
    job = job_in(store, inner, "replica 4")
    job_in(store, Group.of("ada"), "alone")
    answer = operator.get(PANEL)
    assert [group.name for group in rows_of(answer)["replica 4"].groups] == ["A sweep", "0.5 K"]
    assert rows_of(answer)["alone"].groups == []
    [found] = operator.get(PANEL, {"q": inner.id}).context["rows"]
    assert found.info.id == job.id
    assert f'q={inner.id}#jobs"><bdi>0.5 K</bdi></a>' in answer.content.decode()


def rows_of(answer):
    return {row.info.name: row for row in answer.context["rows"]}


TRACEBACK = "Traceback (most recent call last):\n  File ...\nValueError: no such <isotope>\n"


def test_a_row_says_why_a_job_failed_or_was_not_run(operator, store):
    group = Group.of("ada")
    finish(store, job_in(store, group, "failing"), State.FAILED, TRACEBACK)
    finish(store, job_in(store, group, "skipped"), State.CANCELLED, "Its parent 'x' failed.")
    finish(store, job_in(store, group, "well"), State.SUCCESS, "a text")
    again = job_in(store, group, "again", attempts=2)
    store.jobs.change(again.id, lambda info: info.requeued(State.FAILED, TRACEBACK))
    answer = operator.get(PANEL)
    assert {name: row.error for name, row in rows_of(answer).items()} == {
        "failing": "ValueError: no such <isotope>",
        "skipped": "Its parent 'x' failed.",
        "well": "",
        "again": "ValueError: no such <isotope>",
    }
    page = answer.content.decode()
    assert page.count("<bdi>ValueError: no such &lt;isotope&gt;</bdi>") == 2


def test_what_was_run_again_has_failed_no_more(operator, store):
    group = Group.of("ada")
    job = finish(store, job_in(store, group, "failing"), State.FAILED, TRACEBACK)
    again = job_in(store, group, "again")
    assert mark_retried(store, job.id, again.id)
    for query in ({}, {"owner": "ada"}, {"q": job.id}):
        assert operator.get(PANEL, {"state": "failed", **query}).context["rows"] == []
    answer = operator.get(PANEL)
    assert rows_of(answer)["failing"].error == "ValueError: no such <isotope>"
    assert answer.content.decode().count("· retried") == 1


def test_a_row_says_what_a_job_waits_for_and_what_waits_for_it(operator, store):
    group = Group.of("ada")
    first, second = (queued_job(store, group.info, name) for name in ("weigh", "measure"))
    done = finish(store, queued_job(store, group.info, "done"))
    after = (first.id, second.id, done.id)
    child = queued_job(store, group.info, "report", after=after, status="Waits for 3 jobs")
    answer = operator.get(PANEL)
    rows = rows_of(answer)
    assert {info.name for info in rows["report"].parents} == {"weigh", "measure"}
    assert {name: row.children for name, row in rows.items()} == {
        "weigh": 1,
        "measure": 1,
        "done": 0,
        "report": 0,
    }
    assert rows["weigh"].place == "next in line"
    assert rows["measure"].place == "number 2 in line"
    assert rows["report"].place == ""
    assert "1 job waits for it" in answer.content.decode()
    assert list(rows_of(operator.get(PANEL, {"state": "blocked"}))) == ["report"]
    store.jobs.cancel(child.id)
    assert rows_of(operator.get(PANEL))["weigh"].children == 0


def test_the_hook_of_the_site_keeps_what_a_job_belongs_with_from_operators(operator, store, moi):
    secret = Group.create("ada", "a secret")
    job_in(store, secret, "a job")
    moi["AUTHORIZE"] = lambda user, action, info: info.name != "a secret"
    answer = operator.get(PANEL)
    assert rows_of(answer)["a job"].groups == []
    assert b"a secret" not in answer.content


def test_it_shows_limits_with_their_numbers(operator, store):
    assert b"Limits" not in operator.get(PANEL).content
    store.policy.update({policy.limit_slot("matlab"): 1, policy.EACH_OWNER: 7})
    for number in range(3):
        queued_job(store, Group.of("ada").info, f"job {number}", limit="matlab")
    claim(store)
    answer = operator.get(PANEL)
    [limit] = answer.context["limits"].named
    assert (limit.name, limit.allowed, limit.running, limit.waiting) == ("matlab", 1, 1, 2)
    text = re.sub(r"\s+", " ", answer.content.decode())
    assert "<td>1</td> <td>1</td> <td>2</td>" in text
    assert "<td>7</td>" in text
    assert "full</strong>" in text


def test_it_shows_who_uses_how_much(operator, store):
    hours = {"ada": 3, "bob": 1}
    for name, number in hours.items():
        job = queued_job(store, Group.of(name).info, context="lab")
        claim(store)
        dates = {"date_start": "2026-01-02 03:00:00", "date_end": f"2026-01-02 0{3 + number}:00:00"}
        start = {"date_start": dates["date_start"]}
        store.jobs.change(job.id, lambda info, start=start: info.changed(**start))
        store.jobs.change(
            job.id, lambda info, dates=dates: info.changed(state=State.SUCCESS, **dates)
        )
    queued_job(store, Group.of("cy").info)
    claim(store)
    usage = operator.get(PANEL).context["usage"]
    assert [(each.name, each.used, each.running) for each in usage.owners] == [
        ("ada", 3 * 3600, 0),
        ("bob", 3600, 0),
        ("cy", 0, 1),
    ]
    assert [round(each.percent) for each in usage.owners] == [75, 25, 0]
    key = next(store.connection.redis.scan_iter(f"{store.config.prefix}usage:*"))
    assert 86_400 < store.connection.redis.ttl(key) <= 90_000


def test_it_says_since_when_a_context_pauses(operator, store):
    store.policy.start(policy.paused("default"))
    since = store.policy.read()[policy.paused("default")]
    page = operator.get(PANEL).content.decode()
    assert f'since <time datetime="{since.replace(" ", "T")}Z">' in page


def test_every_job_leads_to_its_page_and_shows_its_id(operator, store):
    job = job_in(store, Group.of("ada"), "at work", context="default", url="/result")
    store.engines.report(EngineMetrics("an engine", "default", "node7"))
    store.jobs.change(job.id, lambda info: info.changed(state=State.RUNNING, engine="an engine"))
    page = operator.get(PANEL).content.decode()
    link = f'<a href="/moi/jobs/{job.id}/"><bdi>at work</bdi></a>'
    # In the list, and beside the engine.
    assert page.count(link) == 2
    assert f'title="{job.id}">{job.id}</small>' in page


def test_where_the_site_has_not_our_page_a_job_leads_to_its_result(store, settings):
    settings.ROOT_URLCONF = "tests.site.bare_urls"
    job = job_in(store, Group.of("ada"), url="/result")
    assert detail_url(job) is None
    assert detail_url(finish(store, job)) == f"/result/{job.id}"
    assert detail_url(job_in(store, Group.of("ada"))) is None


def test_the_link_of_an_owner_keeps_what_else_is_asked_for(operator, store):
    for owner in ("ada & eve", "ada"):
        job_in(store, Group.of(owner), "a job", context="default")
    query = {"q": "job", "context": "default", "owner": "ada", "hours": "1"}
    page = html.unescape(operator.get(PANEL, query).content.decode())
    assert 'href="?q=job&context=default&hours=1&owner=ada#jobs"' in page
    page = html.unescape(operator.get(PANEL).content.decode())
    assert 'href="?owner=ada%20%26%20eve#jobs"' in page


def test_it_speaks_the_language_of_the_site(operator, store, settings):
    job = job_in(store, Group.of("ada"), "a job", context="default")
    store.engines.report(
        EngineMetrics("one", "default", "node7", 1, "3.13.1", 99.6, 82_000_000, 1.5, 8)
    )
    store.jobs.change(job.id, lambda info: info.changed(engine="one"))
    own = finish(store, job_in(store, Group.of("ada"), "own words"))
    store.connection.redis.set(
        store.keys.info(own.id), store.jobs.get(own.id).to_json().replace("Success", "Done!")
    )
    settings.LANGUAGE_CODE = "de"
    page = operator.get(PANEL).content.decode()
    confirm = operator.post(PANEL, {"action": "cancel", "id": [job.id]}).content.decode()
    for text in (page, confirm):
        shown = re.sub(r"<[^>]+>", "", text)
        assert "Wartet" in shown
        assert not re.search(r"\b(Queued|Running|Success|Failed|Cancelled)\b", shown)
    assert "Done!" in page
    assert "Ja, 1 Job abbrechen" in confirm


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("es", ["En curso", "Aplazados", "Correctos", "Fallidos", "Cancelados"]),
        ("fr", ["En cours", "Différées", "Réussies", "En échec", "Annulées"]),
        ("ar", ["قيد التنفيذ", "مؤجَّلة", "ناجحة", "فاشلة", "ملغاة"]),
    ],
)
def test_tiles_name_several_jobs(operator, settings, language, words):
    settings.LANGUAGE_CODE = language
    tiles = re.findall(r"<dt>(.*?)</dt>", operator.get(PANEL).content.decode())
    assert [re.sub("<[^>]+>", "", tile) for tile in tiles[2:]] == words


def test_numbers_are_written_as_in_the_language_and_keep_their_order(operator, store, settings):
    ended = {"success:jobs": 1, "success:ran": 5.64, "success:waited": 0.7}
    store.connection.redis.hset(
        store.keys.ended_in_minute(int(store.connection.server_time() // 60)), mapping=ended
    )
    store.engines.report(
        EngineMetrics("one", "default", "node7", 1, "3.13.1", 99.6, 82_000_000, 1.5, 8)
    )
    settings.LANGUAGE_CODE = "de"
    page = re.sub(r"\s+", " ", operator.get(PANEL).content.decode())
    for text in ("5,6 s", "0,7 s", "100 %", "82 MB", "6 h"):
        assert f"<bdi>{text}</bdi>" in page
    for text in ("1,50 / 8", "node7 · 1"):
        assert f'<bdi dir="ltr">{text}</bdi>' in page
    assert not re.search(r"\d\.\d+ s", page)


def test_without_redis_it_says_so(operator, moi):
    moi["REDIS_URL"] = "redis://127.0.0.1:1/0"
    answer = operator.get(PANEL)
    assert answer.status_code == 503
    # What the server says is English whatever the language of the page is.
    assert re.search(rb'<bdi lang="en" dir="ltr">[^<]*Is it running', answer.content)
    assert operator.post(PANEL, {"action": "remove", "id": ["x"]}).status_code == 503


def test_it_needs_no_table(operator, job, django_assert_max_num_queries):
    with django_assert_max_num_queries(8):
        assert operator.get(PANEL).status_code == 200


def nonced(get_response):
    """Give each request a nonce, as django-csp does."""

    def middleware(request):
        request.csp_nonce = "abc"
        return get_response(request)

    return middleware


def test_what_is_ours_carries_the_nonce_of_the_policy(operator, job, settings):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.nonced"]
    asked = operator.post(PANEL, {"action": "cancel", "id": [job.id]})
    for answer in (operator.get(PANEL), asked):
        ours = re.findall(r"<(?:link|script)[^>]*moi_django/[^>]*>", answer.content.decode())
        assert ours
        assert all(' nonce="abc"' in each for each in ours)
