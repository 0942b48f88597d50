"""How the list looks and what it remembers: closed groups, heights, bars, pressed buttons."""

from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import expect

from moi_django import Group
from moi_django.models import State
from tests.helpers.pages import ask, row
from tests.helpers.records import finish, job_in

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def tree(ada, store):
    """A group with a job, in it one with a job, and one with more members than are sent at once."""
    outer = Group.create(ada, "outer")
    inner = Group.create(outer, "inner")
    job_in(store, outer, "high")
    job_in(store, inner, "deep")
    large = Group.create(ada, "large")
    for number in range(51):
        job_in(store, large, f"job {number}")
    return {"outer": outer, "inner": inner, "large": large}


def toggle(page, name):
    return page.get_by_role("button", name=f"Members of {name}", exact=True)


def opened(page):
    """Return which groups are open: by what can be seen, and by what a screen reader is told."""
    buttons = page.locator(".moi-toggle").all()
    told = {each.inner_text(): each.get_attribute("aria-expanded") == "true" for each in buttons}
    seen = {
        f"Members of {name}": page.locator(f".moi-name:text-is('{member}')").is_visible()
        for name, member in (("outer", "high"), ("inner", "deep"), ("large", "job 0"))
    }
    assert told == seen
    return {name.removeprefix("Members of ") for name, is_open in seen.items() if is_open}


def test_what_is_deep_or_large_is_closed_at_first(port, visit, ada, store, tree):
    page = visit(port)
    assert opened(page) == {"outer"}
    # So it is before the script runs.
    html = ask(page).text()
    assert html.count(" data-closed>") == 2
    late = Group.create(Group.create(ada, "new outer"), "new inner")
    job_in(store, late, "very deep")
    expect(toggle(page, "new outer")).to_have_attribute("aria-expanded", "true")
    expect(toggle(page, "new inner")).to_have_attribute("aria-expanded", "false")
    expect(page.locator(".moi-name:text-is('very deep')")).to_have_count(1)
    expect(page.locator(".moi-name:text-is('very deep')")).to_be_hidden()


def test_what_was_opened_or_closed_stays_so_in_the_tab(port, visit, ada, store, tree):
    page = visit(port)
    toggle(page, "outer").click()
    toggle(page, "large").click()
    toggle(page, "outer").click()
    toggle(page, "inner").click()
    assert opened(page) == {"outer", "inner", "large"}
    toggle(page, "outer").click()
    expect(page.locator(".moi-name:text-is('high')")).to_be_hidden()
    page.reload()
    expect(page.locator("moi-jobs[live]")).to_be_visible()
    expect(toggle(page, "outer")).to_have_attribute("aria-expanded", "false")
    toggle(page, "outer").click()
    assert opened(page) == {"outer", "inner", "large"}
    # Another tab begins as all do.
    assert opened(visit(port)) == {"outer"}


def test_little_is_remembered_and_nonsense_forgotten(port, visit, ada, tree):
    page = visit(port)
    many = "JSON.stringify(Array.from({ length: 2000 }, (_, n) => [`id ${n}`, true]))"
    page.evaluate(f"sessionStorage['moi-folds'] = {many}")
    page.reload()
    toggle(page, "large").click()
    kept = page.evaluate("JSON.parse(sessionStorage['moi-folds'])")
    assert (len(kept), kept[-1]) == (500, [tree["large"].id, False])
    page.evaluate("sessionStorage['moi-folds'] = '{nonsense'")
    page.reload()
    expect(page.locator("moi-jobs[live]")).to_be_visible()
    assert opened(page) == {"outer"}


def test_without_scripts_everything_is_open(port, visit, ada, tree):
    page = visit(port, live=False, java_script_enabled=False)
    for name in ("high", "deep", "job 0"):
        expect(page.locator(f".moi-name:text-is('{name}')")).to_be_visible()


def since(**earlier):
    return (datetime.now(UTC) - timedelta(**earlier)).strftime("%Y-%m-%d %H:%M:%S.%f")


@pytest.mark.parametrize("width", [1600, 390])
def test_a_row_stays_as_high_when_its_job_starts_and_ends(port, visit, ada, store, width):
    job = job_in(store, Group.of(ada), "a job", url="/result")
    page = visit(port, viewport={"width": width, "height": 800})
    shown = row(page, "a job")
    height = shown.bounding_box()["height"]
    begun = {"state": State.RUNNING, "status": "On my way", "date_start": since(minutes=1)}
    store.jobs.change(job.id, lambda info: info.changed(progress=0.2, done=2, total=10, **begun))
    expect(shown.locator("progress")).to_be_visible()
    expect(shown.locator("[data-moi=remaining]")).to_have_text("about 4 min left")
    assert shown.bounding_box()["height"] == height
    finish(store, job)
    expect(shown).to_have_attribute("data-state", "success")
    assert shown.bounding_box()["height"] == height


def test_the_parts_of_a_bar_differ_by_shape(port, visit, ada, store):
    Group.create(ada, "empty")
    for name, state in (("over", State.CANCELLED), ("to come", None)):
        job = job_in(store, Group.create(ada, name))
        if state:
            finish(store, job, state)
    page = visit(port)

    def look(name):
        shown = row(page, name)
        [part] = shown.locator("rect:not([width='0'])").all() or [None]
        bar = shown.locator(".moi-bar").evaluate("bar => getComputedStyle(bar).borderStyle")
        return bar, part and part.evaluate("part => getComputedStyle(part).height")

    assert look("empty") == ("dashed", None)
    assert look("over") == ("solid", "0.4px")
    assert look("to come") == ("solid", "1px")


def test_a_button_shows_that_it_works(port, visit, ada, store):
    job = finish(store, job_in(store, Group.of(ada), "a job"), State.FAILED)
    page = visit(port, prepare=lambda page: page.clock.install())
    retry = row(page, "a job").get_by_role("button", name="Retry")
    page.evaluate("""
        window.seen = [];
        const button = document.querySelector(".moi-item .moi-retry");
        new MutationObserver(() => window.seen.push(button.ariaDisabled))
            .observe(button, { attributeFilter: ["aria-disabled"] });
    """)
    retry.click()
    # Nobody keeps its function, so that cannot be done.
    expect(page.get_by_role("alert")).to_contain_text(job.id)
    expect(retry).not_to_have_attribute("aria-disabled", "true")
    assert page.evaluate("seen") == ["true", None]


def test_a_button_does_not_wait_for_ever(port, visit, ada, store):
    finish(store, job_in(store, Group.of(ada), "a job"), State.FAILED)
    page = visit(
        port,
        prepare=lambda page: (page.clock.install(), page.route_web_socket("**", deaf_to("retry"))),
    )
    retry = row(page, "a job").get_by_role("button", name="Retry")
    page.clock.pause_at(page.evaluate("Date.now()") + 1000)
    retry.click()
    expect(retry).to_have_attribute("aria-disabled", "true")
    expect(retry).to_be_focused()
    page.clock.fast_forward(5000)
    expect(retry).not_to_have_attribute("aria-disabled", "true")


def deaf_to(verb):
    """Return what lets a verb be lost on its way to the server."""

    def route(socket):
        server = socket.connect_to_server()
        socket.on_message(lambda frame: verb in frame or server.send(frame))

    return route
