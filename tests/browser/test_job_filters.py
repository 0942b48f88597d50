"""A list that is filtered, searched and cleaned up, in a real browser."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from moi_django import Group
from moi_django.models import State, now
from tests.helpers.groups import address
from tests.helpers.pages import row
from tests.helpers.records import finish, job_in, many_jobs_in

pytestmark = pytest.mark.django_db(transaction=True)


def names(page):
    return page.locator(".moi-item .moi-name:visible")


def tile(page, name):
    return page.get_by_role("navigation", name="Show by state").get_by_role("link", name=name)


def run(store, job):
    begun = {"state": State.RUNNING, "status": "Running", "date_start": now()}
    return store.jobs.change(job.id, lambda info: info.changed(**begun))


def test_a_filtered_list_is_live(port, visit, ada, store, sweep):
    one, two = (job_in(store, Group.of(ada), name) for name in ("one", "two"))
    page = visit(port)
    expect(tile(page, "5 jobs")).to_have_attribute("aria-current", "true")
    tile(page, "3 waiting").click()
    expect(page).to_have_url(re.compile(r"\?moi_state=queued$"))
    expect(page.locator("moi-jobs[live]")).to_be_visible()
    expect(names(page)).to_have_text(["two", "one", "job None"])
    run(store, one)
    expect(names(page)).to_have_text(["two", "job None"])
    expect(tile(page, "2 waiting")).to_have_attribute("aria-current", "true")
    late = job_in(store, Group.create(ada, "late"), "three")
    expect(names(page)).to_have_text(["three", "two", "job None"])
    # Rows hold still: above one at which somebody is, nothing comes or goes.
    row(page, "two").hover()
    job_in(store, Group.of(ada), "four")
    finish(store, late)
    expect(page.get_by_role("button", name="1 new job")).to_be_visible()
    expect(row(page, "three")).to_have_attribute("data-removed", "")
    page.mouse.move(2, 2)
    expect(names(page)).to_have_text(["four", "two", "job None"])
    for job in store.tree.subtree(Group.of(ada).id):
        if job.state is State.QUEUED:
            finish(store, job)
    expect(names(page)).to_have_count(0)
    expect(tile(page, "0 waiting")).to_be_visible()
    expect(page.get_by_text("No job fits.")).to_be_visible()
    page.get_by_role("link", name="Show all jobs").click()
    expect(row(page, "four")).to_be_visible()
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert two.id


def test_a_job_is_found_by_keyboard(port, visit, ada, store, sweep):
    many_jobs_in(store, Group.create(ada, "haystack"), 60)
    page = visit(port)
    search = page.get_by_role("searchbox", name="Search by name")
    search.fill("SWEEP")
    search.press("Enter")
    expect(page).to_have_url(re.compile(r"\?moi_name=SWEEP$"))
    expect(page.locator("moi-jobs[live]")).to_be_visible()
    expect(names(page)).to_have_text(["job success", "job failed", "job None"])
    expect(search).to_have_value("SWEEP")
    # A tile keeps what is searched, and the address all of it.
    tile(page, "1 failed").press("Enter")
    expect(names(page)).to_have_text(["job failed"])
    page.reload()
    expect(names(page)).to_have_text(["job failed"])
    finish(store, job_in(store, sweep, "another"), State.FAILED)
    expect(names(page)).to_have_text(["another", "job failed"])
    finish(store, job_in(store, Group.of(ada), "elsewhere"), State.FAILED)
    expect(tile(page, "3 failed")).to_be_visible()
    expect(names(page)).to_have_text(["another", "job failed"])
    page.get_by_role("link", name="Running first").click()
    expect(page.get_by_role("link", name="Newest first")).to_be_visible()
    expect(names(page)).to_have_text(["another", "job failed"])


@pytest.mark.parametrize("scripts", [False, True])
def test_what_has_ended_is_removed_at_once(port, visit, ada, store, sweep, scripts):
    finish(store, job_in(store, Group.of(ada), "over"))
    page = visit(port, "/?moi_order=running", live=scripts, java_script_enabled=scripts)
    page.get_by_text("Clean up").click()
    page.get_by_role("button", name="Remove all finished").click()
    expect(page.get_by_text("Really remove 1 job?")).to_be_visible()
    page.get_by_role("link", name="No, take me back").click()
    expect(page).to_have_url(re.compile(r"/\?moi_order=running$"))
    expect(names(page).filter(has_text="over")).to_have_count(1)
    page.get_by_text("Clean up").click()
    page.get_by_role("button", name="Remove all finished").click()
    page.get_by_role("button", name="Remove").click()
    expect(page).to_have_url(re.compile(r"/\?moi_order=running$"))
    expect(names(page).filter(has_text="over")).to_have_count(0)
    expect(names(page).filter(has_text="job success")).to_have_count(1)
    page.get_by_text("Clean up").click()
    page.get_by_role("button", name="Cancel all waiting").click()
    page.get_by_role("button", name="Cancel").click()
    expect(tile(page, "1 cancelled")).to_be_visible()
    assert store.tree.totals(sweep.id)["cancelled"] == 1


def test_the_tiles_of_a_group_are_filters(port, visit, ada, store, sweep):
    page = visit(port, address(sweep))
    tile(page, "1 failed").click()
    expect(page.locator("moi-jobs[live]")).to_be_visible()
    expect(names(page)).to_have_text(["job failed"])
    finish(store, job_in(store, sweep, "late"), State.FAILED)
    expect(names(page)).to_have_text(["job failed", "late"])
    expect(tile(page, "2 failed")).to_have_attribute("aria-current", "true")


def test_a_list_of_many_is_not_endless(port, visit, ada, store):
    many_jobs_in(store, Group.of(ada), 200)
    page = visit(port, viewport={"width": 960, "height": 800})
    assert page.evaluate("document.documentElement.scrollHeight") < 2400
    page.get_by_role("button", name="Show older ones (150)").click()
    expect(page.locator(".moi-item:visible")).to_have_count(100)


@pytest.mark.parametrize("touch", [False, True])
def test_whatever_can_be_pressed_is_large_enough(port, visit, ada, store, sweep, touch):
    finish(store, job_in(store, Group.of(ada), "over"), State.FAILED)
    size = {"width": 390 if touch else 960, "height": 800}
    page = visit(port, viewport=size, has_touch=touch, is_mobile=touch)
    page.get_by_text("Clean up").click()
    least = 40 if touch else 24
    for each in page.locator("moi-jobs :is(button, summary, .moi-tiles a):visible").all():
        box = each.bounding_box()
        assert min(box["width"], box["height"]) >= least - 0.5, each.inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]


def test_a_button_of_a_row_says_what_it_is_for(port, visit, ada, store):
    finish(store, job_in(store, Group.of(ada), "over"), State.FAILED)
    page = visit(port)
    retry = page.get_by_role("button", name="Retry over")
    word = retry.locator(".moi-label")
    assert word.bounding_box()["width"] < 2
    retry.hover()
    assert word.bounding_box()["width"] > 20
    page.mouse.move(2, 2)
    page.get_by_role("link", name="over").focus()
    page.keyboard.press("Tab")
    expect(retry).to_be_focused()
    assert word.bounding_box()["width"] > 20


def test_a_new_job_that_waits_to_be_shown_covers_nothing(port, visit, ada, store):
    job_in(store, Group.of(ada), "old")
    page = visit(port)
    place = row(page, "old").bounding_box()
    row(page, "old").hover()
    job_in(store, Group.of(ada), "new")
    waiting = page.get_by_role("button", name="1 new job")
    expect(waiting).to_be_visible()
    assert row(page, "old").bounding_box() == place
    box = waiting.bounding_box()
    assert box["y"] + box["height"] <= place["y"]
    tools = page.locator(".moi-tools").bounding_box()
    assert box["y"] >= tools["y"] + tools["height"]


def test_a_row_says_why_its_job_has_failed(port, visit, ada, store):
    page = visit(port)
    job = job_in(store, Group.of(ada), "a job")
    expect(row(page, "a job")).to_be_visible()
    height = row(page, "a job").bounding_box()["height"]
    text = (
        "Traceback (most recent call last):\n"
        + "  a frame\n" * 2000
        + "ValueError: no <b>number</b>"
    )
    finish(store, job, State.FAILED, text)
    expect(row(page, "a job").get_by_text("ValueError: no <b>number</b>")).to_be_visible()
    assert row(page, "a job").bounding_box()["height"] == height
