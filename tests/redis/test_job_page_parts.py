"""The parts of the page of a job: the way to it, its attempts, its call, its output and failure."""

import re

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client

from moi_django import Group, Job, ctx_default, submit
from moi_django.models import State, now
from moi_django.store.logs import OutputPiece
from tests.helpers.records import finish, job_in
from tests.site import work

pytestmark = pytest.mark.django_db
EVIL = "<script>alert(1)</script>"


@pytest.fixture
def client(ada):
    client = Client()
    client.force_login(ada)
    return client


@pytest.fixture
def job(ada, store):
    return job_in(store, Group.create(Group.create(ada, "a sweep"), "0.5 K"), "replica 4")


def html_of(client, address):
    return client.get(address).content.decode()


def page(client, job, query=""):
    return html_of(client, f"/moi/jobs/{job.id}/{query}")


def crumbs(html):
    return re.findall(r'<li>(?:<a href="([^"]*)">)?<bdi>([^<]*)</bdi>', html.split("<h1")[0])


# The way from the root


def test_the_way_leads_from_the_users_own_list(client, job):
    sweep, temperature = job.ancestors[1:]
    assert crumbs(page(client, job)) == [
        ("/moi/jobs/", "Your jobs"),
        (f"/moi/groups/{sweep}/", "a sweep"),
        (f"/moi/groups/{temperature}/", "0.5 K"),
    ]
    group = html_of(client, f"/moi/groups/{temperature}/")
    assert crumbs(group.split("<moi-jobs")[0])[-1] == (f"/moi/groups/{sweep}/", "a sweep")
    assert "a sweep" in html_of(client, "/moi/jobs/")


def test_a_site_may_have_a_list_of_its_own(client, job, moi):
    moi["LIST_URL"] = "/my/jobs/"
    assert crumbs(page(client, job))[0] == ("/my/jobs/", "Your jobs")
    moi["LIST_URL"] = "moi:jobs"
    assert crumbs(page(client, job))[0] == ("/moi/jobs/", "Your jobs")


def test_in_the_tree_of_another_it_begins_with_the_owner(job):
    bob = get_user_model().objects.create_user("bob")
    bob.user_permissions.add(Permission.objects.get(codename="view_jobs"))
    client = Client()
    client.force_login(bob)
    assert crumbs(page(client, job))[0] == (f"/moi/groups/{job.owner}/", "ada")


def test_a_group_that_may_not_be_seen_is_not_on_the_way(client, job, moi):
    moi["AUTHORIZE"] = lambda user, action, info: False if info.name == "a sweep" else None
    assert [name for _, name in crumbs(page(client, job))] == ["Your jobs", "0.5 K"]


def test_who_is_not_logged_in_has_no_list(job):
    assert Client().get("/moi/jobs/").url == "/accounts/login/?next=/moi/jobs/"


# Its attempts


def steps(html):
    """Return what the timeline says, without times."""
    steps = html.split('<ol class="moi-timeline')[1].split("</ol>")[0].split("<li")[1:]
    return [
        " ".join(re.sub("<time.*?</time>|<[^>]*>|^[^>]*>", " ", each).split()) for each in steps
    ]


def test_one_attempt_is_told_without_a_number(client, store, job):
    assert steps(page(client, job)) == ["Submitted"]
    used = {"cpu_seconds": 1.5, "peak_memory": 2**20}
    store.jobs.change(job.id, lambda info: info.changed(state=State.RUNNING, date_start=now()))
    assert steps(page(client, job)) == ["Submitted", "Started"]
    store.jobs.change(job.id, lambda info: info.ended(State.SUCCESS, **used))
    [_, step] = steps(page(client, job))
    assert re.fullmatch(r"Started Ended after [\d.]+ s · CPU 1.5 s , memory 1.0.MB", step)


def test_each_of_several_attempts_has_its_own_line(client, store, job):
    def begin(info):
        return info.changed(state=State.RUNNING, date_start=now(), attempts=3, cpu_seconds=None)

    store.jobs.change(job.id, begin)
    store.jobs.change(job.id, lambda info: info.changed(cpu_seconds=0.5, peak_memory=1000))
    store.jobs.change(job.id, lambda info: info.requeued(State.LOST, f"x\n{EVIL}"))
    store.jobs.change(job.id, begin)
    html = page(client, job)
    _, first, second = steps(html)
    told = r"Attempt 1 · Failed Started Ended after [\d.]+ s · CPU 0.5 s , memory 1000"
    assert re.match(told, first)
    assert EVIL not in html and "&lt;script&gt;" in first
    assert second == "Attempt 2 · Running Started"


def test_what_was_cancelled_before_it_began_has_no_attempt(client, store, job):
    store.jobs.cancel(job.id)
    assert steps(page(client, job)) == ["Submitted", "Ended"]


@pytest.mark.parametrize(
    ("attempt", "attempts", "state", "is_said"),
    [
        (1, 1, State.RUNNING, False),
        (1, 2, State.RUNNING, True),
        (1, 2, State.SUCCESS, False),
        (2, 2, State.SUCCESS, True),
        (1, 2, State.CANCELLED, True),
    ],
)
def test_of_a_first_success_it_is_not_said_which_attempt_it_was(
    client, store, job, attempt, attempts, state, is_said
):
    changed = {"attempt": attempt, "attempts": attempts, "state": state, "status": "x"}
    store.jobs.change(job.id, lambda info: info.changed(**changed))
    fields = page(client, job).split("<dl")[1]
    assert ('<div data-moi="if-attempts"><dt>Attempt' in fields) is is_said
    row = html_of(client, f"/moi/groups/{job.parent}/").split("<template")[0]
    assert ('data-moi="if-attempts">' in row) is is_said


# What is called


def test_what_is_called_is_noted_with_each_job(client, store, ada, moi):
    moi["ON_COMMIT"] = False
    job = submit(ctx_default, ada, "greet", None, work.in_turn, 2, second=40)
    called = "tests.site.work.in_turn(first=2, second=40)"
    assert Job.get(job.id).info.call == called
    assert f'<code dir="ltr">{called}</code>' in page(client, job)
    group = Group.map(work.in_turn, [1, 2], owner=ada, name="greet", second=3)
    calls = [each.call for each in store.jobs.get_many([*store.tree.members(group.id)])]
    assert sorted(calls) == [
        f"tests.site.work.in_turn(first={number}, second=3)" for number in (1, 2)
    ]
    moi["SHOW_ARGUMENTS"] = False
    job = submit(ctx_default, ada, "greet", None, work.in_turn, 2, second=40)
    assert Job.get(job.id).info.call == "tests.site.work.in_turn(…)"


def test_a_retry_calls_the_same(ada, moi):
    moi["ON_COMMIT"] = False
    job = submit(ctx_default, ada, "greet", None, work.in_turn, 1, 0)
    job.cancel()
    assert job.retry().info.call == "tests.site.work.in_turn(first=1, second=0)"


# What it prints


def say(store, job, text):
    store.logs.open(job.id).append([OutputPiece("stdout", text)], 5_000_000)


def test_output_has_an_element_a_line(client, store, job):
    assert '<section id="moi-output" data-moi="output-section" hidden>' in page(client, job)
    say(store, job, f"one\n{EVIL}\nthree")
    html = page(client, job)
    shown = html.split('data-moi="output" tabindex="0">')[1].split("</pre>")[0]
    escaped = "&lt;script&gt;alert(1)&lt;/script&gt;"
    assert shown == f"<span>one\n</span><span>{escaped}\n</span><span>three</span>"


def test_a_search_finds_lines_in_all_that_is_kept(client, store, job):
    say(store, job, "the first\n")
    for number in range(100):
        say(store, job, f"line {number}\n")
    say(store, job, EVIL)
    html = page(client, job, "?find=FIRST")
    assert '<span data-line="1" data-key="1">the <mark>first</mark>\n</span></pre>' in html
    assert "1 line has it." in html and 'value="FIRST"' in html
    assert f'href="/moi/jobs/{job.id}/#moi-output"' in html
    assert "100 lines have it." in page(client, job, "?find=line")
    html = page(client, job, "?find=%3Cscript")
    assert "<mark>&lt;script</mark>" in html and EVIL not in html
    assert "0 lines have it." in page(client, job, "?find=nothing")
    assert 'data-moi-part="found"' not in page(client, job, "?find=line&without=output")


# Its result


def test_the_result_comes_first(client, store, job):
    say(store, job, "said\n")
    finish(store, job, result=42)
    html = page(client, job)
    places = [html.index(each) for each in ('"result"', '"timeline"', '"output"', "<dl")]
    assert places == sorted(places)


def test_a_failure_begins_with_the_error_and_the_users_lines(client, store, job):
    library = '  File "/x/lib/python3.12/json/decoder.py", line 9, in decode\n    raise\n'
    own = '  File "/site/lab.py", line 3, in run\n    json.loads(text)\n'
    text = f"Traceback (most recent call last):\n{own}{library}ValueError: {EVIL}"
    finish(store, job, State.FAILED, result=text)
    html = page(client, job)
    assert EVIL not in html
    error, lines, whole = (
        html.index(each) for each in ('class="moi-raised"', "Where in your code", "whole traceback")
    )
    assert error < lines < whole
    assert html[:whole].count("decoder.py") == 0 and html[whole:].count("decoder.py") == 1


def test_an_image_has_its_size_in_pixels_of_the_page(client, store, job):
    finish(store, job, result={"repr": "x", "type": "y"})
    forms = {"image/png": "iVBO", "image/png;size": "320 240", "text/plain": "a figure"}
    store.artifacts.save_display(job.id, forms)
    assert 'alt="a figure" width="320" height="240">' in page(client, job)
    store.artifacts.save_display(job.id, {"image/png": "iVBO"})
    assert "width=" not in page(client, job).split("<img")[1].split(">")[0]
