"""The app's own pages: of a job, of a group, and what can be downloaded, for who may see it."""

import base64
import html
import json
import re
import uuid
from functools import partial

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.http import Http404
from django.test import Client
from django.urls import reverse

from moi_django import Group, Job
from moi_django.contrib.attachments.site_storage import get_attachment_storage
from moi_django.contrib.job_pages.json_tree import MAX_NODES, build_json_tree
from moi_django.contrib.reloading.site_code import describe_code
from moi_django.models import State
from moi_django.shortcuts import get_group_or_404, get_job_or_404
from moi_django.store.engines import EngineMetrics
from moi_django.store.logs import OutputPiece
from tests.helpers.records import finish, job_in, mark_retried, new_job

pytestmark = pytest.mark.django_db
EVIL = "<script>alert(1)</script>"
PNG = base64.b64encode(b"\x89PNG\r\n").decode()


@pytest.fixture
def client(ada):
    client = Client(raise_request_exception=True)
    client.force_login(ada)
    return client


def page(client, job, name="job", *more):
    return client.get(reverse(f"moi:{name}", args=[job.id, *more]))


def test_a_job_without_a_url_links_to_its_page(client, job):
    assert f'href="/moi/jobs/{job.id}/"' in client.get("/").content.decode()
    html = page(client, job).content.decode()
    assert "a job" in html and "Queued" in html
    assert f'href="/moi/groups/{job.parent}/"' in html
    group = client.get(f"/moi/groups/{job.parent}/").content.decode()
    assert "a sweep" in group and "a job" in group


def test_a_view_gets_what_its_user_may_see_or_answers_404(ada, job, store):
    bob, group = get_user_model().objects.create_user("bob"), job.parent
    assert get_job_or_404(ada, uuid.UUID(job.id)).id == job.id
    assert get_group_or_404(ada, group).id == group
    for get, user, id in (
        (get_job_or_404, bob, job.id),
        (get_job_or_404, ada, group),
        (get_job_or_404, ada, "nonsense"),
        (get_group_or_404, bob, group),
        (get_group_or_404, ada, job.id),
    ):
        with pytest.raises(Http404, match="There is no "):
            get(user, id)
    Job.get(job.id).remove()
    with pytest.raises(Http404, match="was removed or has expired"):
        get_job_or_404(ada, job.id)


PLACES = ["job", "output", "result"]


@pytest.mark.parametrize("name", PLACES)
def test_who_may_see_it(job, name, ada):
    assert page(Client(), job, name).status_code == 302
    bob = get_user_model().objects.create_user("bob")
    client = Client()
    client.force_login(bob)
    assert page(client, job, name).status_code == 404
    unknown = client.get(reverse(f"moi:{name}", args=["0" * 8 + "-0000-4000-8000-" + "0" * 12]))
    assert unknown.status_code == 404
    bob.user_permissions.add(Permission.objects.get(codename="view_jobs"))
    assert page(client, job, name).status_code == 200
    assert "moi/jobs" in page(client, job).content.decode()
    assert 'name="act"' not in page(client, job).content.decode()


def test_a_group_is_no_job_and_a_job_no_group(client, job):
    assert client.get(f"/moi/jobs/{job.parent}/").status_code == 404
    assert client.get(f"/moi/groups/{job.id}/").status_code == 404


def test_what_a_job_says_and_made_is_text(client, store, ada):
    job = job_in(store, Group.of(ada), EVIL, url=f"/x?{EVIL}")
    store.jobs.change(job.id, lambda info: info.changed(status=EVIL))
    store.logs.open(job.id).append([OutputPiece("stdout", EVIL)], 1000)
    finish(store, job, result={EVIL: [EVIL]})
    for name in (EVIL, EVIL.replace("/", "")):  # the former is no name for a file
        noted = {"name": name, "path": "", "size": 1, "type": EVIL}
        store.artifacts.save_file(job.id, name, json.dumps(noted))
    html = page(client, job).content.decode()
    assert "<script>alert" not in html
    assert html.count("&lt;script&gt;alert") >= 5


def test_output_is_without_what_steers_terminals_and_can_be_downloaded(client, store, job):
    log = store.logs.open(job.id)
    for number in range(60):
        log.append([OutputPiece("stdout", f"\x1b[31mred\x1b[0m {number}\n")], 100_000)
    html = page(client, job).content.decode()
    assert "red 59" in html and "red 9\n" not in html and "\x1b" not in html
    assert "Only the last part is shown." in html
    response = page(client, job, "output")
    text = b"".join(response.streaming_content).decode()
    assert text == "".join(f"red {number}\n" for number in range(60))
    assert response["Content-Disposition"] == f'attachment; filename="{job.id}.txt"'
    assert is_harmless(response)


def test_a_download_says_what_was_dropped(client, store, job):
    log = store.logs.open(job.id)
    for number in range(30):
        log.append([OutputPiece("stdout", f"line {number:02}\n" * 1000)], 100_000)
    text = b"".join(page(client, job, "output").streaming_content).decode()
    note, rest = text.split("\n", 1)
    assert note == f"[… {30 * 8000 - len(rest)} bytes left out]"
    assert rest.endswith("line 29\n")


def test_without_scripts_a_line_is_as_it_looks_in_the_end(client, store, job):
    log = store.logs.open(job.id)
    log.append([OutputPiece("stdout", "".join(f"{n}%\r" for n in range(100)) + "\x1b[3")], 100_000)
    log.append([OutputPiece("stdout", "1mdone\n")], 100_000)
    assert 'tabindex="0"><span>done\n</span></pre>' in page(client, job).content.decode()
    without = client.get(f"/moi/jobs/{job.id}/?without=output").content.decode()
    assert 'data-moi="output" tabindex="0"></pre>' in without


def test_html_that_needs_scripts_says_so_and_can_be_had(client, store, job, moi):
    finish(store, job, result={"repr": "Chart", "type": "altair.Chart"})
    html = "<div></div><script>draw()</script>"
    store.artifacts.save_display(job.id, {"text/html": html, "text/plain": "a chart"})
    shown = page(client, job).content.decode()
    assert "needs scripts, which do not run here" in shown and "<iframe" not in shown
    assert f'href="/moi/jobs/{job.id}/shown/html" download="{job.id}.html"' in shown
    assert ">a chart</pre>" in shown
    assert is_harmless(client.get(f"/moi/jobs/{job.id}/shown/html"))
    moi["RESULT_SCRIPTS"] = True
    assert (
        '<iframe class="moi-document" sandbox="allow-scripts" src'
        in page(client, job).content.decode()
    )
    policy = client.get(f"/moi/jobs/{job.id}/shown/html")["Content-Security-Policy"]
    assert policy.startswith("sandbox allow-scripts; default-src 'none'; script-src ")
    assert "allow-same-origin" not in policy


@pytest.mark.parametrize(
    ("forms", "shown"),
    [
        ({"text/html": "<script>x()</script>", "image/png": PNG, "text/plain": "x"}, "<img"),
        ({"text/html": "<script>x()</script>", "image/svg+xml": "<svg/>"}, "<img"),
        (
            {"text/html": "<table></table>", "text/plain": "Empty DataFrame"},
            ">Empty DataFrame</pre>",
        ),
        ({"text/html": "<script>x()</script>", "text/markdown": "# A"}, "<iframe"),
    ],
)
def test_what_can_be_seen_is_shown_instead_of_what_cannot(client, store, job, forms, shown):
    finish(store, job, result={"repr": "x", "type": "y"})
    store.artifacts.save_display(job.id, forms)
    assert shown in page(client, job).content.decode()


def fields_of(client, job):
    return page(client, job).content.decode().split("<dl")[1].split("</dl>")[0]


def test_every_field_is_shown_the_technical_ones_to_staff(client, store, job, ada):
    started = {"state": State.RUNNING, "engine": "an-engine", "status": "on my way"}
    counted = {"progress": 0.25, "done": 1234567.0, "total": 4938268, "attached": 77}
    store.jobs.change(job.id, lambda info: info.changed(**started, **counted))
    html, info = fields_of(client, job), store.jobs.get(job.id)
    for value in ("an-engine", "on my way", "0.25", "1234567", "4938268", "77"):
        assert f">{value}</dd>" in html
    told = (info.type, info.state, info.pubsub, info.owner, info.path, info.version)
    technical = [f">{value}</dd>" for value in told]
    assert not any(value in html for value in technical)
    ada.is_staff = True
    ada.save()
    assert all(value in fields_of(client, job) for value in technical)


def is_harmless(response):
    return (
        response["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
        and response["X-Content-Type-Options"] == "nosniff"
        and response["X-Frame-Options"] == "SAMEORIGIN"
    )


@pytest.mark.parametrize(
    ("forms", "shown", "form", "type", "content"),
    [
        ({"image/png": PNG}, "<img", "png", "image/png", b"\x89PNG\r\n"),
        ({"image/svg+xml": "<svg/>"}, "<img", "svg", "image/svg+xml; charset=utf-8", b"<svg/>"),
        (
            {"text/html": f"<b>x</b>{EVIL}", "text/plain": "x"},
            "<iframe",
            "html",
            "text/html; charset=utf-8",
            b"<b>x</b>",
        ),
        (
            {"text/markdown": f"# A\n\n{EVIL}"},
            "<iframe",
            "markdown",
            "text/html; charset=utf-8",
            b"<h1>A</h1>",
        ),
    ],
)
def test_a_rich_result_is_a_document_of_its_own(
    client, store, job, forms, shown, form, type, content
):
    finish(store, job, result={"repr": "x", "type": "y"})
    store.artifacts.save_display(job.id, forms)
    html = page(client, job).content.decode()
    assert shown in html and f"/shown/{form}" in html
    assert EVIL not in html
    response = page(client, job, "form", form)
    assert response["Content-Type"] == type
    assert content in response.content
    assert is_harmless(response)
    if form == "markdown":
        assert EVIL.encode() not in response.content
    assert page(client, job, "form", "jpeg").status_code == 404
    assert page(client, job, "form", "nonsense").status_code == 404


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ("plain & simple", ["plain &amp; simple"]),
        (42, ["42"]),
        (None, ["None"]),
        ({"a": [1, True, None, "x"]}, ["moi-tree", 'data-kind="boolean">true', "&quot;x&quot;"]),
        ({"repr": "<obj>", "type": "lab.Odd"}, ["&lt;obj&gt;", "(lab.Odd)"]),
    ],
)
def test_other_results_are_a_tree_or_text(client, store, job, result, words):
    finish(store, job, result=result)
    html = page(client, job).content.decode()
    assert all(word in html for word in words)
    response = page(client, job, "result")
    assert json.loads(response.content) == result
    assert is_harmless(response)


@pytest.mark.parametrize(
    ("data", "shown"), [('{"a": [1]}', "moi-tree"), ('"<b>"', "&lt;b&gt;"), ("NaN", "nan")]
)
def test_a_result_that_shows_itself_as_json_is_a_tree_or_text(client, store, job, data, shown):
    finish(store, job, result={"repr": "x", "type": "y"})
    store.artifacts.save_display(job.id, {"application/json": data, "text/plain": "<JSON object>"})
    html = page(client, job).content.decode()
    assert shown in html and "JSON object" not in html


def test_what_went_wrong_is_shown_with_its_lines(client, store, job):
    finish(store, job, State.FAILED, result="Traceback ...\n  1 / 0\nZeroDivisionError")
    html = page(client, job).content.decode()
    assert "What went wrong" in html and "1 / 0" in html


def test_a_large_result_is_shown_in_part():
    node = build_json_tree([list(range(100))] * 1000)
    assert count(node) <= MAX_NODES + 20
    assert node.left > 900
    nested = []
    for _ in range(500):
        nested = [nested]
    assert count(build_json_tree(nested)) < 30
    assert len(build_json_tree("x" * 1_000_000).text) < 3000


def count(node):
    return 1 + sum(map(count, node.members))


def test_a_file_can_be_downloaded(client, store, job):
    get_attachment_storage().save(store, job.id, "page.html", EVIL.encode())
    html = page(client, job).content.decode()
    assert "page.html" in html
    response = page(client, job, "file", "page.html")
    assert b"".join(response.streaming_content) == EVIL.encode()
    assert response["Content-Disposition"] == 'attachment; filename="page.html"'
    assert is_harmless(response)
    assert page(client, job, "file", "other").status_code == 404
    get_attachment_storage().delete_all(job.id)
    assert page(client, job, "file", "page.html").status_code == 404


def test_without_scripts_a_form_cancels_and_removes(client, store, job):
    act = reverse("moi:act", args=[job.id])
    assert client.get(act).status_code == 405
    assert Client(enforce_csrf_checks=True).post(act, {"act": "cancel"}).status_code in (302, 403)
    assert store.jobs.get(job.id).state is State.QUEUED
    assert client.post(act, {"act": "cancel"}).url == f"/moi/jobs/{job.id}/"
    assert store.jobs.get(job.id).state is State.CANCELLED
    assert client.post(act, {"act": "remove"}).url == f"/moi/groups/{job.parent}/"
    assert store.jobs.get(job.id) is None


def test_what_has_not_ended_is_removed_when_that_is_confirmed(client, store, job):
    act = reverse("moi:act", args=[job.id])
    asked = client.post(act, {"act": "remove"}).content.decode()
    assert "Really stop and remove?" in asked and 'name="confirmed"' in asked
    assert store.jobs.get(job.id) == job
    confirmed = client.post(act, {"act": "remove", "confirmed": "yes"})
    assert confirmed.url == f"/moi/groups/{job.parent}/"
    assert store.jobs.get(job.id) is None


def test_who_may_only_see_cannot_act(store, job):
    bob = get_user_model().objects.create_user("bob")
    bob.user_permissions.add(Permission.objects.get(codename="view_jobs"))
    client = Client()
    client.force_login(bob)
    act = reverse("moi:act", args=[job.id])
    assert client.post(act, {"act": "remove"}).status_code == 404
    assert store.jobs.get(job.id) == job


def test_without_redis_the_page_says_so(client, job, moi):
    moi["REDIS_URL"] = "redis://127.0.0.1:1/0"
    response = page(client, job)
    assert response.status_code == 503
    html = response.content.decode()
    assert "Jobs cannot be shown just now." in html
    address = reverse("moi:job", args=[job.id])
    assert f'<a href="{address}">Try again</a>' in html


def test_where_no_redis_is_known_the_page_says_so(client, job, moi):
    moi["REDIS_URL"] = None
    assert page(client, job).status_code == 503
    assert client.post(reverse("moi:act", args=[job.id]), {"act": "retry"}).status_code == 503


@pytest.mark.parametrize("page", ["job", "group"])
def test_an_act_without_redis_leads_back_to_its_page(client, job, moi, page):
    moi["REDIS_URL"] = "redis://127.0.0.1:1/0"
    id = job.id if page == "job" else job.parent
    act = reverse("moi:act" if page == "job" else "moi:act_on_group", args=[id])
    response = client.post(act, {"act": "cancel"})
    assert response.status_code == 503
    address = reverse(f"moi:{page}", args=[id])
    assert f'<a href="{address}">Try again</a>' in response.content.decode()


def test_a_site_without_our_urls_has_no_links_to_them(client, job, settings):
    settings.ROOT_URLCONF = "tests.site.bare_urls"
    html = client.get("/").content.decode()
    assert "a job" in html
    assert "/moi/jobs/" not in html and "job-page" not in html


def test_who_retries_twice_is_led_to_the_one_retry(client, job, store):
    """A second press, or another tab, is no mistake."""
    other = job_in(store, Group.of("somebody"), "the retry")
    store.jobs.change(job.id, lambda info: info.changed(retried=other.id))
    response = client.post(f"/moi/jobs/{job.id}/act/", {"act": "retry"})
    assert response.url == f"/moi/jobs/{other.id}/"


def test_a_job_that_says_it_was_retried_as_no_id_of_ours_is_shown(client, job, store):
    failed = finish(store, job, State.FAILED, "boom")
    mark_retried(store, failed.id, "what moi has never made")
    page = client.get(reverse("moi:job", args=[job.id])).content.decode()
    assert "what moi has never made" in page


def test_what_a_job_waits_for_and_what_waits_for_it_is_listed_as_far_as_it_may_be_seen(
    client, store, job, ada
):
    foreign = job_in(store, Group.create("bob", "of another"), "a secret")
    root = Group.of(ada)
    waiting = job_in(store, root, EVIL, after=(job.id, job.parent, foreign.id, "gone"))
    store.jobs.create(behind := new_job(root.info, "a final one", after=(waiting.id,)), b"payload")
    html = page(client, waiting).content.decode()
    for id, name in ((job.parent, "a sweep"), (job.id, "a job"), (behind.id, "a final one")):
        kind = "groups" if name == "a sweep" else "jobs"
        assert f'href="/moi/{kind}/{id}/"><bdi>{name}</bdi></a>' in html
    assert "a secret" not in html and EVIL not in html
    assert "moi-related" in html and "a final one" not in page(client, job).content.decode()


def code_note(client, store, ada, **fields):
    """Return what the page of a job says of the code of its engine."""
    shown = page(client, job_in(store, Group.of(ada), **fields)).content.decode()
    [text] = re.findall('data-moi-part="code">(?:<p [^>]*>)?([^<]*)', shown)
    return html.unescape(text)


OTHER, OLDER = "0" * 12, "1" * 12


def test_it_says_that_an_engine_has_other_code_than_the_site(client, ada, store):
    site = describe_code().digest
    note = partial(code_note, client, store, ada, state=State.RUNNING, engine="an engine")
    assert note(code=site) == ""
    store.engines.report(EngineMetrics("an engine", code=OTHER))
    assert note(code=OTHER) == note(code=None) == ""
    said = "This engine runs other code than the site. Let it load that of the site with manage.py"
    assert note(code=site).startswith(said)
    store.engines.report(EngineMetrics("an engine", code=site))
    assert note(code=site) == ""
    assert "its engine has the new code." in note(code=OLDER)


def test_of_a_job_that_has_ended_it_says_what_its_engine_had_then(client, ada, store):
    site = describe_code().digest
    store.engines.report(EngineMetrics("an engine", code=site))
    note = partial(code_note, client, store, ada, state=State.SUCCESS, engine="an engine")
    assert note(code=site, engine_code=site) == note(code=site) == note(engine_code=OTHER) == ""
    said = "The engine ran other code than the site."
    assert note(code=site, engine_code=OTHER).startswith(said)
    assert note(code=OLDER, engine_code=OTHER).startswith(said)
    assert "its engine has the new code." in note(code=OLDER, engine_code=site)


def test_an_earlier_attempt_keeps_what_code_it_ran(client, store, ada):
    job = job_in(store, Group.of(ada), "twice", attempts=2, code=OLDER)
    store.jobs.change(
        job.id, lambda info: info.changed(engine_code=OTHER).requeued(State.FAILED, "no")
    )
    info = store.jobs.get(job.id)
    assert (info.engine_code, info.runs[0].engine_code) == (None, OTHER)
    assert "other code than the site's" in html.unescape(page(client, job).content.decode())
