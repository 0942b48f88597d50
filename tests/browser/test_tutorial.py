"""The tutorial, followed word for word from an empty directory."""

import os
import re

import pytest
from playwright.sync_api import expect

from tests.helpers.pages import row
from tests.helpers.processes import ROOT, free_port
from tests.helpers.tutorial import Terminal, steps

# What the commands of the tutorial ask, and what is typed.
ANSWERS = {
    "Username (leave blank": "ada",
    "Email address:": "",
    "Password:": "lovelace1815",
    "Password (again):": "lovelace1815",
}
# What its reader does and sees in a browser; other sentences need another test.
SEEN = [
    "log in, press the button.",
    "The job appears as Queued, says which sample it is at, and its name ends as a link to its "
    "result.",
    "Open the page a second time: both show the same.",
]
SERVE = "python manage.py moi up"


@pytest.fixture
def terminals(tmp_path):
    """Return what opens a terminal; those that follow the first are where that is now."""
    kept = {key: os.environ[key] for key in ("HOME", "PATH", "LANG") if key in os.environ}
    opened = []

    def open_terminal(first=""):
        opened.append(Terminal(tmp_path, kept, first))
        return opened[-1]

    yield open_terminal
    for terminal in opened:
        terminal.close()


@pytest.fixture
def page(chromium):
    context = chromium.new_context()
    complaints = []
    page = context.new_page()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    context.close()
    assert complaints == []


def write(step, directory):
    """Write the file that a step says, or its end."""
    file = directory / "lab" / step.path()
    file.parent.mkdir(exist_ok=True)
    before = file.read_text() if "At the end of" in step.text else ""
    file.write_text(before + step.block)


def use(page, url):
    """Log in, press the button, see what the job says, and open the page a second time."""
    page.goto(url)
    page.fill("[name=username]", "ada")
    page.fill("[name=password]", "lovelace1815")
    page.click("[type=submit]")
    page.click("text=Weigh five samples")
    job = row(page, "Weigh five samples")
    expect(job).to_contain_text(re.compile("Weighing sample [1-5] of 5"), timeout=20_000)
    again = page.context.new_page()
    again.goto(url)
    return page, again


def see_the_end(*pages):
    """See in each page that the job ends as a link to its result."""
    for page in pages:
        shown = row(page, "Weigh five samples")
        expect(shown.get_by_text("Success")).to_be_visible(timeout=20_000)
    shown.get_by_role("link", name="Weigh five samples").click()
    expect(page.locator("body")).to_have_text("{'samples': 5, 'grams': 7.5}")


def test_the_tutorial_does_what_it_says(tmp_path, terminals, page):
    tutorial, rest = steps((ROOT / "docs/tutorial.md").read_text())
    terminal, url, pages = terminals(), None, ()
    for step in tutorial:
        if url and not pages:
            text = " ".join(step.text.split())
            assert [sentence for sentence in SEEN if sentence not in text] == []
            pages = use(page, url)
        if step.language != "console":
            write(step, tmp_path)
            continue
        if "another terminal" in step.text:
            terminal = terminals(". venv/bin/activate && cd lab")
        for typed, printed in step.commands():
            if typed == SERVE:
                # Another port, as that one may be taken here.
                bind = f"--bind=127.0.0.1:{free_port()}"
                url = terminal.start(f"{typed} {bind}", r"http://[\d.:]+/")[0]
            else:
                said = terminal.run(typed, ANSWERS)
                assert printed in said
    see_the_end(*pages)
    assert "```" not in rest
