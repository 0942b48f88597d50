"""The example as `make demo` runs it, in the hands of its two users."""

import os
import re
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.helpers.pages import ask, row
from tests.helpers.processes import ROOT

MANAGE = str(ROOT / "example_project" / "manage.py")


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """The address of the example, run with data of its own."""
    directory = tmp_path_factory.mktemp("example")
    env = {
        **{key: value for key, value in os.environ.items() if key != "DJANGO_SETTINGS_MODULE"},
        "EXAMPLE_STATE_DIR": str(directory / "state"),
        "EXAMPLE_DATABASE": str(directory / "db.sqlite3"),
        "EXAMPLE_MEDIA": str(directory / "media"),
    }
    for arguments in (["migrate", "-v0"], ["demo_users"], ["demo_users"], ["check"]):
        subprocess.run([sys.executable, MANAGE, *arguments], env=env, check=True)
    up = subprocess.Popen(
        [sys.executable, MANAGE, "moi", "up", "--bind=127.0.0.1:0", "--engines=3"],
        env=env,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield next(re.search(r"http://\S+", line)[0] for line in up.stdout if "ready" in line)
    up.terminate()
    out, _ = up.communicate()
    assert up.returncode == 0
    assert out.splitlines()[-1].endswith("stopped")


@pytest.fixture
def log_in(chromium, url):
    contexts, complaints = [], []

    def log_in(name):
        context = chromium.new_context()
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(url)
        page.fill("[name=username]", name)
        page.fill("[name=password]", name)
        page.click("main button")
        expect(page.locator("moi-jobs[live]")).to_be_visible()
        return page

    yield log_in
    for context in contexts:
        context.close()
    assert complaints == []


@contextmanager
def seen(locator):
    """Note every text that a part of the page has had."""
    locator.evaluate(
        """element => {
            window.seen = [element.innerText];
            new MutationObserver(() => window.seen.push(element.innerText))
                .observe(element, { childList: true, subtree: true, characterData: true });
        }"""
    )
    texts: list[str] = []
    yield texts
    texts += locator.evaluate("() => window.seen")


def submit(page, kind, name):
    page.fill("[name=name]", name)
    page.check(f"[value={kind}]")
    page.click("main form button")
    expect(page.locator("moi-jobs[live]")).to_be_visible()


def test_one_watches_another_does_not_see_and_all_ends_well(log_in, url):
    alice, bob = log_in("alice"), log_in("bob")
    watching = alice.context.new_page()
    watching.goto(url)
    expect(watching.locator("moi-jobs[live]")).to_be_visible()
    with seen(watching.locator("moi-jobs")) as texts:
        submit(alice, "hello", "The hello job")
        submit(alice, "failing", "No such quotient")
        submit(alice, "group", "A sweep")
        submit(alice, "stars", "Stars")
        # Both pages of alice show the same, nobody having reloaded the second.
        for page in (alice, watching):
            hello = row(page, "The hello job").get_by_text("Success", exact=True)
            expect(hello).to_be_visible(timeout=30_000)
            failed = row(page, "No such quotient").get_by_text("Failed", exact=True)
            expect(failed).to_be_visible()
            why = row(page, "No such quotient").get_by_text("ZeroDivisionError: division by zero")
            expect(why).to_be_visible()
        expect(row(watching, "Stars").locator(".moi-status")).to_have_text(
            re.compile("field [2-9] of 12"), timeout=30_000
        )
    told = "\n".join(texts)
    order = [told.index(word) for word in ("Queued", "I'm about to say hello", "Success")]
    assert order == sorted(order)
    expect(bob.get_by_text("No jobs yet.")).to_be_visible()

    row(alice, "The hello job").get_by_role("link").click()
    expect(alice.locator("pre")).to_have_text("hello from The hello job!")
    for time in alice.locator("dd time").all():
        expect(time).to_have_attribute("datetime", re.compile(r"^\d{4}-\d\d-\d\dT[\d:.]+Z$"))
        expect(time).not_to_contain_text("UTC")  # but as it is where she is
    expect(alice.locator("dd time")).to_have_count(3)
    result = alice.url
    assert ask(bob, result).status == 404
    alice.go_back()
    row(alice, "No such quotient").get_by_role("link").click()
    expect(alice.locator("pre")).to_contain_text("ZeroDivisionError: division by zero")
    alice.go_back()
    alice.get_by_role("link", name="A sweep", exact=True).click()
    expect(alice.locator("moi-jobs[live] .moi-item")).to_have_count(5)
    assert ask(bob, alice.url).status == 404
    expect(alice.locator(".moi-item[data-state=success]")).to_have_count(5, timeout=60_000)
    alice.goto(url)
    sweep = row(alice, "A sweep").locator("> .moi-row")
    sweep.get_by_role("button", name="Remove A sweep").click()
    sweep.get_by_role("button", name="Really remove 5 jobs?").click()
    expect(row(watching, "A sweep 1")).to_have_count(0)


def test_realistic_work_is_shown_as_it_should_be(log_in, url):
    page = log_in("bob")
    submit(page, "pi", "Pi")
    submit(page, "search", "Sequences")
    submit(page, "sweep", "Magnets")
    # Each of the groups and the one around them.
    expect(page.locator(".moi-group")).to_have_count(5)
    expect(page.locator("span[data-part=queued]:visible").first).to_be_visible()
    row(page, "Pi").get_by_role("link").click()
    expect(page.locator("[data-moi=output]")).to_contain_text("points: ", timeout=60_000)
    expect(page.get_by_role("status")).to_have_text("Success", timeout=60_000)
    expect(page.locator(".moi-image")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="estimates.csv").click()
    assert len(Path(download.value.path()).read_text().splitlines()) == 60
    page.goto(url)
    expect(row(page, "Sequences").get_by_text("Success")).to_be_visible(timeout=60_000)
    page.get_by_role("link", name="Sequences", exact=True).click()
    table = page.frame_locator(".moi-document")
    expect(table.get_by_text("identity")).to_be_visible()
    page.goto(url)
    page.get_by_role("button", name="Remove Magnets", exact=True).click()
    page.get_by_role("button", name=re.compile("^Really remove")).click()
    expect(page.get_by_text("Magnets")).to_have_count(0)


def test_the_operator_sees_the_jobs_of_all(log_in):
    bob, olga = log_in("bob"), log_in("olga")
    expect(bob.get_by_role("link", name="All jobs")).to_have_count(0)
    olga.get_by_role("link", name="All jobs").click()
    expect(olga.locator("moi-panel[live]")).to_be_visible()
    expect(olga.locator("[data-live=engines] tr")).to_have_count(3)
    submit(bob, "hello", "Hello from bob")
    mine = olga.locator("[data-live=jobs] tr", has_text="Hello from bob").last
    expect(mine).to_contain_text("Success", timeout=30_000)
    expect(mine).to_contain_text("bob")
    mine.get_by_role("checkbox").check()
    for _ in ("ask", "confirm"):
        olga.get_by_role("button", name="Remove").click()
    expect(olga.get_by_text("1 job removed.")).to_be_visible()
    expect(row(bob, "Hello from bob")).to_have_count(0)


def test_a_name_is_needed(log_in):
    page = log_in("bob")
    page.eval_on_selector("[name=name]", "field => { field.required = false; field.value = ''; }")
    page.click("main form button")
    expect(page.get_by_text("This field is required.")).to_be_visible()
