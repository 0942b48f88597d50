"""The page of a group in a real browser."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.helpers.groups import address
from tests.helpers.records import job_in

pytestmark = pytest.mark.django_db(transaction=True)


def button(page, name):
    return page.locator(".moi-head").get_by_role("button", name=name, exact=True)


def test_the_head_is_live_and_asks_as_a_row_does(port, visit, ada, store, sweep):
    page = visit(port, address(sweep))
    counts = page.locator(".moi-head .moi-tiles")
    expect(counts).to_have_text("3 jobs 1 succeeded 1 failed 1 waiting", use_inner_text=True)
    job_in(store, sweep, "one more")
    expect(counts).to_have_text("4 jobs 1 succeeded 1 failed 2 waiting", use_inner_text=True)
    bar = page.locator(".moi-head rect[data-part=queued]")
    expect(bar).to_have_attribute("x", "2")
    expect(bar).to_have_attribute("width", "2")
    button(page, "Cancel").click()
    expect(button(page, "Really cancel 2 jobs?")).to_be_focused()
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    page.keyboard.press("Escape")
    expect(button(page, "Cancel")).to_be_focused()
    button(page, "Cancel").click()
    button(page, "Really cancel 2 jobs?").click()
    expect(counts).to_have_text("4 jobs 1 succeeded 1 failed 2 cancelled", use_inner_text=True)
    expect(button(page, "Cancel")).to_be_hidden()
    expect(button(page, "Remove")).to_be_focused()
    button(page, "Retry failed").click()
    expect(page.get_by_role("alert")).to_contain_text("is not kept")
    button(page, "Remove").click()
    button(page, "Really remove 4 jobs?").click()
    expect(page.get_by_text("There is no such group")).to_be_visible()
    expect(page.locator(".moi-head")).to_be_hidden()
    expect(page.locator(".moi-item")).to_have_count(0)
    expect(page.locator("moi-jobs")).to_be_focused()
    assert store.jobs.get(sweep.id) is None
    page.get_by_role("link", name="the lot").click()
    expect(page.get_by_role("heading", name="the lot")).to_be_visible()


@pytest.mark.parametrize("scripts", [False, True])
def test_without_a_connection_the_forms_act(port, visit, ada, store, sweep, scripts):
    page = visit(
        port,
        address(sweep),
        live=False,
        quiet=True,
        java_script_enabled=scripts,
        prepare=lambda page: page.route_web_socket("**", lambda socket: socket.close()),
    )
    if scripts:
        expect(page.get_by_text("Not live: brought up to date every few seconds")).to_be_visible()
    button(page, "Remove").click()
    expect(page.get_by_text("Really remove 3 jobs?")).to_be_visible()
    page.get_by_role("link", name="No, take me back").click()
    button(page, "Remove").click()
    page.get_by_role("button", name="Remove").click()
    expect(page.get_by_text("The group was removed.")).to_be_visible()
    expect(page.get_by_role("heading", name="the lot")).to_be_visible()
    assert store.jobs.get(sweep.id) is None
