"""The page of a job in a real browser: live, with output and rich results that can do no harm."""

import base64
import re
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from moi_django import Group, ctx_default, submit
from moi_django.logs import Log, Piece
from moi_django.models import State
from tests.records import finish, job_in
from tests.site import work
from tests.test_browser import ada  # noqa: F401 - a fixture

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

EVIL = "<img src=x onerror=document.title='owned'>"


@pytest.fixture
def job(ada, store):  # noqa: F811
    return job_in(store, Group.create(ada, "a sweep"), "a job")


@pytest.fixture
def look(port, visit):
    """Open the page of a job."""

    def look(job, **options):
        page = visit(port, f"/moi/jobs/{job.id}/", live=False, **options)
        if options.get("java_script_enabled", True):
            expect(page.locator("moi-job[live]")).to_be_visible()
        return page

    return look


@pytest.mark.cluster
def test_a_job_is_watched_on_its_own_page(look, cluster, ada, tmp_path):  # noqa: F811
    gate = tmp_path / "gate"
    job = submit(ctx_default, ada, "a job that speaks", None, work.speak, str(gate))
    page = look(job)
    expect(page.locator("[data-moi=output]")).to_contain_text("logged loudly")
    expect(page.get_by_role("status")).to_have_text("holding")
    expect(page.get_by_role("button", name="Cancel")).to_be_visible()
    gate.touch()
    expect(page.get_by_role("status")).to_have_text("Success")
    expect(page.locator("[data-moi=output]")).to_contain_text("at the end")
    expect(page.get_by_text("Ended")).to_be_visible()
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the output").click()
    assert "from a thread" in Path(download.value.path()).read_text()


def test_output_has_colours_and_starts_lines_anew(look, job, store):
    log = Log(store, job.id)
    page = look(job)
    log.append(
        [Piece("stdout", "\x1b[1;31mred\x1b[0m plain\n 10%\r 20%"), Piece("stderr", EVIL)], 9999
    )
    output = page.locator("[data-moi=output]")
    expect(output).to_have_text(f"red plain\n 20%{EVIL}")
    expect(output.locator(".moi-ink-1.moi-weight-bold")).to_have_text("red")
    expect(output.locator(".moi-stderr")).to_have_text(EVIL)
    log.append([Piece("stdout", "\r100%\x1b[38;5;1m\x1b[2J\n")], 9999)
    expect(output).to_have_text("red plain\n100%\n")
    assert page.title() == "a job"


def test_a_page_keeps_the_last_lines(look, job, store):
    log = Log(store, job.id)
    page = look(job)
    for start in range(0, 100_000, 10_000):
        text = "".join(f"line {number}\n" for number in range(start, start + 10_000))
        log.append([Piece("stdout", text)], 5_000_000)
    output = page.locator("[data-moi=output]")
    expect(output).to_contain_text("line 99999\n", timeout=20_000)
    assert output.locator("> span").count() <= 5_001
    page.reload()
    expect(page.get_by_text("Only the last part is shown.")).to_be_visible()


@pytest.mark.parametrize("mime", ["text/html", "image/svg+xml", "image/png"])
def test_a_rich_result_can_do_no_harm(look, job, store, mime):
    script = "<script>parent.document.title = document.title = 'owned'</script>"
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9">{script}</svg>'
    forms = {
        "text/html": f"<table><tr><td>cell</td></tr></table>{EVIL}{script}",
        "image/svg+xml": svg,
        "image/png": base64.b64encode(PNG).decode(),
    }
    finish(store, job, result={"repr": "x", "type": "y"})
    store.keep_display(job.id, {mime: forms[mime], "text/plain": "a description"})
    page = look(job, quiet=True)  # the browser says that it has blocked something
    if mime == "text/html":
        frame = page.frame_locator("iframe")
        expect(frame.get_by_text("cell")).to_be_visible()
    else:
        image = page.get_by_role("img", name="a description")
        expect(image).to_be_visible()
        assert image.evaluate("image => image.naturalWidth") > 0
    assert page.title() == "a job"
    link = page.url + f"shown/{mime.split('/')[1].split('+')[0]}"
    page.goto(link)
    assert page.title() != "owned"


PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5E"
    "rkJggg=="
)


def test_a_tree_opens_and_closes(look, job, store):
    finish(store, job, result={"outer": {"inner": [1, 2]}, "text": EVIL})
    page = look(job)
    expect(page.get_by_text(EVIL)).to_be_visible()
    expect(page.get_by_text("inner")).to_be_hidden()
    page.get_by_text("outer: {1}").click()
    expect(page.get_by_text("inner: [2]")).to_be_visible()


def test_without_scripts_all_is_there(look, job, store):
    Log(store, job.id).append([Piece("stdout", "said\n")], 1000)
    page = look(job, java_script_enabled=False)
    expect(page.locator("[data-moi=output]")).to_have_text("said\n")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("status")).to_have_text("Cancelled")
    page.get_by_role("button", name="Remove").click()
    expect(page.get_by_role("heading", name="a sweep")).to_be_visible()
    assert store.get(job.id) is None


def test_focus_stays_where_it_is_while_the_page_changes(look, job, store):
    page = look(job)
    remove = page.get_by_role("button", name="Remove")
    remove.focus()
    page.get_by_text("All about this job").click()
    remove.focus()
    store.change(
        job.id, lambda info: info.changed(status="on my way", progress=0.5, done=2, total=4)
    )
    expect(page.get_by_role("status")).to_have_text("on my way")
    expect(page.get_by_role("progressbar", name="Progress")).to_have_attribute("value", "0.5")
    expect(page.get_by_text("2 / 4")).to_be_visible()
    expect(remove).to_be_focused()
    expect(page.get_by_text(job.id)).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 390])
def test_no_barriers(look, job, store, scheme, width):
    store.change(
        job.id, lambda info: info.changed(state=State.RUNNING, progress=0.3, done=3, total=9)
    )
    Log(store, job.id).append(
        [Piece("stdout", "".join(f"\x1b[{code}mcolour\x1b[0m\n" for code in range(30, 38)))], 9999
    )
    page = look(job, color_scheme=scheme, viewport={"width": width, "height": 800})
    expect(page.locator(".moi-ink-4")).to_be_visible()
    assert no_barriers(page, width)
    finish(store, job, result={"a": [1, {"b": None}]})
    expect(page.locator(".moi-tree")).to_be_visible()
    assert no_barriers(page, width)


def no_barriers(page, width):
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    return page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_job_that_is_removed_is_gone_from_its_page(look, job, store):
    page = look(job, quiet=True)
    store.remove(job.id)
    expect(page.get_by_text(re.compile("Not Found|no such job"))).to_be_visible()
