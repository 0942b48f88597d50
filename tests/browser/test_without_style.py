"""Rows where the site's own style, or none, is all there is: what does not apply is hidden."""

import re

import pytest
from django.contrib.auth.models import Permission
from playwright.sync_api import expect

from moi_django import Group
from moi_django.models import State, now
from tests.helpers.pages import row
from tests.helpers.records import finish, job_in, mark_retried

pytestmark = pytest.mark.django_db(transaction=True)

OTHER = "00000000-0000-4000-8000-000000000000"


def without_style(page):
    page.route("**/moi.css", lambda route: route.fulfill(body="", content_type="text/css"))


def shown(page, name):
    """Return the words of a row without its name and its time, a word for each part."""
    text = row(page, name).inner_text()
    time = row(page, name).locator("time").first.inner_text()
    words = " ".join(text.replace(time, "").replace(name, "").split())
    return re.sub(r"\d:\d\d", "0:00", words)  # what runs goes on


@pytest.fixture
def jobs(ada, store):
    """A job in each situation, and what its row says, before its buttons."""
    root = Group.of(ada)
    job_in(store, root, "waiting")
    running = {"state": State.RUNNING, "status": "Weighing", "date_start": now()}
    job_in(store, root, "at work", **running, attempt=2, attempts=3)
    job_in(store, root, "over", state=State.SUCCESS, status="Success")
    job_in(store, root, "broken", state=State.FAILED, status="Failed")
    job_in(store, root, "again", state=State.FAILED, status="Failed", retried=OTHER)
    job_in(store, Group.create(root, "well", url=""), "inner", state=State.SUCCESS)
    return {
        "waiting": "Queued Cancel Remove",
        "at work": "Weighing · attempt 2/3 Run time 0:00 Cancel Remove",
        "over": "Success Remove",
        "broken": "Failed Retry Remove",
        "again": "Failed · retried Remove",
    }


def test_a_row_says_only_what_applies(port, visit, jobs, store, ada):
    # Before any script has run, and with scripts.
    for options in ({"java_script_enabled": False}, {}):
        page = visit(port, live=bool(not options), prepare=without_style, **options)
        for name, words in jobs.items():
            assert shown(page, name) == words, options
        # The job in it is another row.
        assert shown(page, "well").startswith("Members of 1 succeeded Remove inner")


def test_a_row_says_only_what_applies_after_it_has_changed(port, visit, jobs, store, ada):
    page = visit(port, prepare=without_style)
    job = job_in(store, Group.of(ada), "changing", attempts=2)
    expect(row(page, "changing")).to_contain_text("Queued")
    assert shown(page, "changing") == "Queued · attempt 1/2 Cancel Remove"
    finish(store, job, State.FAILED)
    expect(row(page, "changing")).to_contain_text("Failed")
    assert shown(page, "changing") == "Failed · attempt 1/2 Run time 0:00 Retry Remove"
    mark_retried(store, job.id, OTHER)
    expect(row(page, "changing").locator(".moi-retried")).to_be_visible()
    assert shown(page, "changing") == "Failed · attempt 1/2 · retried Run time 0:00 Remove"


def test_who_may_change_nothing_has_no_buttons(port, visit, store, ada):
    group = Group.create("somebody", "theirs")
    job_in(store, group, "not hers")
    ada.user_permissions.add(Permission.objects.get(codename="view_jobs"))
    page = visit(port, f"/group/{group.id}", prepare=without_style)
    job_in(store, group, "new")
    expect(row(page, "new")).to_be_visible()
    assert [shown(page, name) for name in ("not hers", "new")] == ["Queued", "Queued"]
