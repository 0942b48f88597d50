"""Where waiting jobs stand in their queues, as people watch it; and what operators do about it."""

import json
import re
from contextlib import suppress

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth import get_user_model
from django.test import Client
from playwright.sync_api import expect

from moi_django import Group
from moi_django.store import policy
from tests.helpers.pages import row
from tests.helpers.processes import wait_for
from tests.helpers.queues import claim, queued_job
from tests.helpers.records import finish

pytestmark = pytest.mark.django_db(transaction=True)

# Milliseconds after which a page has asked again.
LATER = 11_000


def with_clock(page):
    page.clock.install()


@pytest.fixture
def waiting(ada, store):
    return [queued_job(store, Group.of(ada).info, f"job {number}") for number in range(3)]


def shows_after_a_while(page, place, text):
    """Let time pass in the page until it shows a text."""

    def shown():
        page.clock.fast_forward(LATER)
        with suppress(AssertionError):  # the server needs its time to answer
            expect(place).to_have_text(text, timeout=1_000)
            return True

    wait_for(shown, f"{text!r} in a page")


def place_in(page, name):
    return row(page, name).locator("[data-moi=place]")


def test_a_row_counts_down_and_says_no_more_once_it_runs(port, visit, store, ada, waiting):
    page = visit(port, prepare=with_clock)
    first, second, third = (place_in(page, f"job {number}") for number in range(3))
    expect(first).to_have_text("next in line")
    expect(third).to_have_text("number 3 in line")
    page.evaluate(
        """
        window.updates = [];
        document.addEventListener("moi:update", ({ detail }) => updates.push(detail.name));
        """
    )
    running = claim(store).info
    expect(first).to_have_text("")
    shows_after_a_while(page, third, "number 2 in line")
    expect(second).to_have_text("next in line")
    assert Axe().run(page).violations_count == 0
    # One that comes is asked for by itself.
    queued_job(store, Group.of(ada).info, "job 3")
    shows_after_a_while(page, place_in(page, "job 3"), "number 3 in line")
    finish(store, running)
    expect(row(page, "job 0")).to_have_attribute("data-state", "success")
    expect(first).to_have_text("")
    # What was asked for is no news of a job.
    assert page.evaluate("updates") == ["job 0", "job 0"]


def test_what_is_held_says_why_and_goes_on(port, visit, store, waiting):
    store.policy.start(policy.paused("lab"))
    page = visit(port, prepare=with_clock)
    first = place_in(page, "job 0")
    expect(first).to_have_text("paused")
    assert Axe().run(page).violations_count == 0
    store.policy.stop(policy.paused("lab"))
    shows_after_a_while(page, first, "next in line")


def test_only_what_is_on_the_screen_is_asked_for_a_few_at_a_time(port, visit, store, ada):
    for number in range(60):
        queued_job(store, Group.of(ada).info, f"job {number}")
    asked = []

    def listen(page):
        page.clock.install()
        page.on("websocket", lambda socket: socket.on("framesent", note))

    def note(frame):
        if ids := json.loads(frame).get("get"):
            asked.append(ids)

    page = visit(port, prepare=listen, viewport={"width": 1000, "height": 600})
    shown = page.evaluate(
        """
        [...document.querySelectorAll(".moi-item")]
            .filter((row) => row.getBoundingClientRect().top < innerHeight)
            .map((row) => row.dataset.id)
        """
    )
    assert 4 < len(shown) < 30

    def all_are_asked_for():
        page.clock.run_for(1000)
        return len({id for ids in asked for id in ids}) == len(shown)

    wait_for(all_are_asked_for)
    assert {id for ids in asked for id in ids} == set(shown)
    assert max(map(len, asked)) == 4


def test_the_page_of_a_job_counts_down_too(port, visit, store, waiting):
    page = visit(port, f"/moi/jobs/{waiting[1].id}/", live=False, prepare=with_clock)
    expect(page.locator("moi-job[live]")).to_be_visible()
    place = page.locator("[data-moi=place]")
    expect(place).to_have_text("number 2 in line")
    claim(store)
    shows_after_a_while(page, place, "next in line")
    assert Axe().run(page).violations_count == 0
    claim(store)
    expect(place).to_have_text("")
    expect(page.locator("strong[data-moi=status]")).to_have_text("Running")


def before_scripts(code):
    """Return a script that does something with a page before its own scripts do."""
    when = 'document.readyState === "interactive"'
    return f'document.addEventListener("readystatechange", () => {{ if ({when}) {{ {code} }} }});'


def test_it_stays_in_the_language_of_the_page(port, visit, store, waiting):
    """Which may be another one than that of the site."""

    def speak_german(page):
        page.clock.install()
        page.add_init_script(before_scripts('document.querySelector("moi-jobs").lang = "de"'))

    page = visit(port, prepare=speak_german)
    claim(store)
    shows_after_a_while(page, place_in(page, "job 2"), "Nummer 2 in der Reihe")


def test_a_page_whose_template_has_no_place_asks_for_none(port, visit, store, waiting):
    """As one that a site has written before there were any."""
    sent = []

    def note(frame):
        sent.append(json.loads(frame))

    def leave_out(page):
        page.clock.install()
        page.on("websocket", lambda socket: socket.on("framesent", note))
        page.add_init_script(
            before_scripts(
                "for (const hole of document.querySelectorAll('[data-moi=place]')) hole.remove()"
            )
        )

    page = visit(port, prepare=leave_out)
    page.clock.run_for(LATER)
    claim(store)
    expect(row(page, "job 0")).to_have_attribute("data-state", "running")
    assert sent and not [frame for frame in sent if "get" in frame]


@pytest.fixture
def panel(chromium, moi, transactional_db, port):
    olga = get_user_model().objects.create_superuser("olga", "olga@example.org")
    client = Client()
    client.force_login(olga)
    context = chromium.new_context(viewport={"width": 1280, "height": 1400})
    site = f"http://127.0.0.1:{port}"
    session = client.cookies["sessionid"].value
    context.add_cookies([{"name": "sessionid", "value": session, "url": site}])
    page = context.new_page()
    page.goto(f"{site}/admin/moi_django/alljobs/")
    yield page
    context.close()


def test_an_operator_pauses_a_context_and_lets_it_go_on(panel, store):
    expect(panel.locator("moi-panel[live]")).to_be_visible()
    panel.get_by_role("button", name="Pause default").click()
    expect(panel.get_by_text("Pause default? What runs goes on")).to_be_visible()
    assert Axe().run(panel).violations_count == 0
    panel.get_by_role("button", name="Yes, pause it").click()
    expect(panel.get_by_text("default is paused.")).to_be_visible()
    expect(panel.locator("[data-live=contexts] tr")).to_have_text(re.compile("default paused"))
    expect(panel.locator("moi-panel[live]")).to_be_visible()
    assert Axe().run(panel).violations_count == 0
    panel.get_by_role("button", name="Resume default").click()
    panel.get_by_role("button", name="Yes, resume it").click()
    expect(panel.get_by_role("button", name="Pause default")).to_be_visible()
    assert store.policy.read() == {}
    # By somebody else, as in a shell.
    store.policy.start(policy.paused("default"))
    expect(panel.get_by_role("button", name="Resume default")).to_be_visible()
