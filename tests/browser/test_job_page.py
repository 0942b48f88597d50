"""The page of a job in a real browser: live, with output and rich results that can do no harm."""

import base64
import json
import re
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from moi_django import Group
from moi_django.models import State, now
from moi_django.store.logs import OutputPiece
from tests.helpers.pages import press_twice
from tests.helpers.processes import free_port, site_process
from tests.helpers.records import finish, job_in

pytestmark = pytest.mark.django_db(transaction=True)

EVIL = "<img src=x onerror=document.title='owned'>"


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
    store.artifacts.save_display(job.id, {mime: forms[mime], "text/plain": "a description"})
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


SCRIPTED = (
    "<div id=chart></div><script>chart.textContent = 'drawn by a script';"
    "try { parent.document.title = 'owned' } catch { document.title = 'kept out' }"
    "</script>"
)


def test_html_that_needs_scripts_is_offered_for_download(look, job, store):
    finish(store, job, result={"repr": "x", "type": "y"})
    store.artifacts.save_display(job.id, {"text/html": SCRIPTED, "text/plain": "alt.Chart(...)"})
    page = look(job)
    expect(page.get_by_text("needs scripts, which do not run here")).to_be_visible()
    expect(page.get_by_text("alt.Chart(...)")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download as HTML").click()
    assert download.value.suggested_filename == f"{job.id}.html"
    assert SCRIPTED in Path(download.value.path()).read_text()
    assert Axe().run(page).violations_count == 0


def test_a_site_may_let_scripts_of_results_run_where_they_reach_nothing(
    visit, site_env, job, store
):
    finish(store, job, result={"repr": "x", "type": "y"})
    store.artifacts.save_display(job.id, {"text/html": SCRIPTED})
    port = free_port()
    with site_process(port, **site_env, MOI_TEST_SCRIPTS="yes"):
        page = visit(port, f"/moi/jobs/{job.id}/", live=False)
        expect(page.frame_locator("iframe").get_by_text("drawn by a script")).to_be_visible()
        assert page.title() == "a job"
        page.goto(f"{page.url}shown/html")
        expect(page.get_by_text("drawn by a script")).to_be_visible()
        assert page.evaluate("origin") == "null"


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
    store.logs.open(job.id).append([OutputPiece("stdout", "said\n")], 1000)
    page = look(job, java_script_enabled=False)
    expect(page.locator("[data-moi=output]")).to_have_text("said\n")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("status")).to_have_text("Cancelled")
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(page.get_by_role("heading", name="a sweep")).to_be_visible()
    assert store.jobs.get(job.id) is None


def test_without_scripts_a_page_asks_before_what_runs_is_removed(look, job, store):
    page = look(job, java_script_enabled=False)
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(page.get_by_text("Really stop and remove?")).to_be_visible()
    page.get_by_role("link", name="No, take me back").click()
    expect(page.get_by_role("status")).to_have_text("Queued")
    page.get_by_role("button", name="Remove", exact=True).click()
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(page.get_by_role("heading", name="a sweep")).to_be_visible()
    assert store.jobs.get(job.id) is None


def start(store, job, **fields):
    """Let a job run."""
    begun = {"state": State.RUNNING, "status": "Running", "date_start": now(), **fields}
    return store.jobs.change(job.id, lambda info: info.changed(**begun))


def say(store, job, status, **fields):
    return store.jobs.change(job.id, lambda info: info.changed(status=status, **fields))


@pytest.mark.parametrize("name", ["Cancel", "Remove"])
def test_a_press_counts_whatever_changes_under_it(look, job, store, name):
    # The page of a job that is removed may just be about to be fetched.
    page = look(job, quiet=name == "Remove")
    box = page.get_by_role("button", name=name).bounding_box()
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    page.mouse.down()
    start(store, job)
    expect(page.get_by_text("Started")).to_be_visible()
    say(store, job, "half way", progress=0.5, attached=1)
    expect(page.get_by_role("status")).to_have_text("half way")
    page.mouse.up()
    if name == "Remove":
        page.get_by_role("button", name="Really stop and remove?").click()
        expect(page.get_by_text("The job was removed.")).to_be_visible()
        assert store.jobs.get(job.id) is None
    else:
        expect(page.get_by_role("status")).to_have_text("Cancelled")
        assert store.jobs.get(job.id).state is State.CANCELLED


def test_focus_stays_where_it_is_while_the_page_changes(look, job, store, ada):
    ada.is_staff = True  # who sees the version, too
    ada.save()
    page = look(job)
    summary = page.get_by_text("All about this job")
    summary.click()
    expect(page.get_by_text(job.id).first).to_be_visible()
    summary.focus()
    start(store, job)
    say(store, job, "on my way", progress=0.5, done=2, total=4)
    expect(page.get_by_text("Started")).to_be_visible()
    expect(page.get_by_role("status")).to_have_text("on my way")
    expect(page.get_by_role("progressbar", name="Progress")).to_have_attribute("value", "0.5")
    expect(page.get_by_text("2/4")).to_be_visible()
    expect(page.locator("dd[data-moi=version]")).to_have_text("3")
    expect(summary).to_be_focused()
    remove = page.get_by_role("button", name="Remove", exact=True)
    remove.focus()
    finish(store, job)
    expect(page.get_by_text("Ended")).to_be_visible()
    expect(remove).to_be_focused()
    expect(page.get_by_text(job.id).first).to_be_visible()


def test_a_button_that_goes_hands_the_focus_on(look, job, store):
    page = look(job)
    page.get_by_role("button", name="Cancel").press("Enter")
    expect(page.get_by_role("status")).to_have_text("Cancelled")
    expect(page.get_by_role("button", name="Remove", exact=True)).to_be_focused()
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
    expect(page.get_by_role("button", name="Retry")).to_be_visible()


def test_the_time_goes_on_and_what_is_left_is_told(look, job, store):
    start(store, job, progress=0.5, date_start=before(seconds=60))
    page = look(job)
    first = page.locator("[data-moi=elapsed]").inner_text()
    assert re.fullmatch(r"1:[0-5]\d", first)
    expect(page.locator("[data-moi=elapsed]")).not_to_have_text(first)
    expect(page.locator("[data-moi=remaining]")).to_have_text(
        re.compile(r"about (1 min|\d+ s) left")
    )
    finish(store, job)
    expect(page.locator("[data-moi=remaining]")).to_have_text("")


def before(seconds):
    return str(datetime.now(UTC).replace(tzinfo=None) - timedelta(seconds=seconds))


@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
def test_what_is_done_is_told_without_a_total(look, job, store, motion):
    start(store, job, done=1)
    page = look(job, reduced_motion=motion)
    bar = page.get_by_role("progressbar", name="Progress")
    expect(page.locator("[data-moi=amount]")).to_have_text("1 done")
    say(store, job, "counting", done=12)
    expect(page.locator("[data-moi=amount]")).to_have_text("12 done")
    assert bar.evaluate("bar => bar.position") == -1
    still = bar.evaluate("bar => getComputedStyle(bar).appearance") == "none"
    assert still is (motion == "reduce")
    page.goto(page.url.split("/moi/")[0])
    row = page.locator("moi-jobs[live] .moi-item .moi-item")
    expect(row.locator("[data-moi=amount]")).to_have_text("12 done")
    bar = row.get_by_role("progressbar")
    assert bar.evaluate("bar => bar.position") == -1
    say(store, job, "counting", done=6, total=12, progress=0.5)
    expect(row.locator("[data-moi=amount]")).to_have_text("6/12")
    expect(bar).to_have_attribute("value", "0.5")
    say(store, job, "counting", done=13, total=None, progress=None)
    expect(row.locator("[data-moi=amount]")).to_have_text("13 done")
    assert bar.evaluate("bar => bar.position") == -1


def fetches_of(page):
    """Return the list of addresses that the script of a page will have fetched."""
    fetched = []
    page.on("request", lambda request: fetched.append(request.url) if is_fetch(request) else None)
    return fetched


def is_fetch(request):
    return request.resource_type == "fetch"


def test_a_chatty_job_is_not_fetched_for_what_the_page_is_told(look, job, store):
    log = store.logs.open(job.id)
    start(store, job)
    log.append([OutputPiece("stdout", "said before\n" * 1000)], 10_000_000)
    page = look(job)
    expect(page.locator("[data-moi=output]")).to_contain_text("said before")
    fetched = fetches_of(page)
    with page.expect_response(lambda response: is_fetch(response.request)) as answered:
        say(store, job, "speaking", attached=1)
    assert "said before" not in answered.value.text()
    assert "without=output" in answered.value.url
    for number in range(40):
        log.append([OutputPiece("stdout", f"line {number}\n" * 1000)], 10_000_000)
        say(store, job, f"at {number}", progress=number / 40, done=number, total=40)
        expect(page.get_by_role("status")).to_have_text(f"at {number}")
    expect(page.locator("[data-moi=output]")).to_contain_text("line 39")
    finish(store, job)
    expect(page.get_by_text("Ended")).to_be_visible()
    assert len(fetched) <= 3


@pytest.mark.parametrize("failure", ["abort", 503])
def test_a_fetch_that_fails_is_told_and_tried_again(port, visit, job, store, failure):
    fetches = re.compile("without=output")

    def fail(route):
        route.abort() if failure == "abort" else route.fulfill(status=failure, body="down")

    # From the first fetch on: one on its way could still bring the start of the job.
    prepare = partial(Page.route, url=fetches, handler=fail)
    page = visit(port, f"/moi/jobs/{job.id}/", live=False, quiet=True, prepare=prepare)
    log = store.logs.open(job.id)
    log.append([OutputPiece("stdout", "said\n")], 1000)
    expect(page.locator("[data-moi=output]")).to_have_text("said\n")
    offline = page.get_by_text("Not live: the connection is lost")
    expect(offline).to_be_visible()
    start(store, job)
    expect(page.get_by_role("status")).to_have_text("Running")
    expect(page.get_by_text("Started")).to_have_count(0)
    page.unroute(fetches)
    expect(page.get_by_text("Started")).to_be_visible()
    expect(offline).to_be_hidden()
    page.route(fetches, fail)
    finish(store, job, result={"a": [1]})
    expect(offline).to_be_visible()
    page.unroute(fetches)
    expect(page.locator(".moi-tree")).to_be_visible()
    expect(offline).to_be_hidden()
    expect(page.locator("[data-moi=output]")).to_have_text("said\n")


def test_what_was_missed_is_seen_after_the_connection_is_back(visit, site_env, job, store):
    port = free_port()
    with site_process(port, **site_env):
        page = visit(port, f"/moi/jobs/{job.id}/", live=False, quiet=True)
        expect(page.locator("moi-job[live]")).to_be_visible()
    expect(page.get_by_text("Not live: the connection is lost")).to_be_visible()
    # Nothing of the info object tells of it.
    path = f"moi/{job.id}/late.csv"
    noted = {"name": "late.csv", "path": path, "size": 1, "type": "text/csv"}
    store.artifacts.save_file(job.id, "late.csv", json.dumps(noted))
    with site_process(port, **site_env):
        expect(page.get_by_text("late.csv")).to_be_visible(timeout=30_000)
        expect(page.locator("moi-job[live]")).to_be_visible()


def test_who_was_logged_out_sees_the_page_to_log_in(look, job, store):
    page = look(job, quiet=True)
    page.context.clear_cookies()
    start(store, job)
    page.wait_for_url("**/accounts/login/**")


def test_a_question_is_asked_before_what_runs_is_removed(look, job, store):
    page = look(job)
    start(store, job)
    expect(page.get_by_text("Started")).to_be_visible()
    remove = page.get_by_role("button", name="Remove", exact=True)
    confirm = page.get_by_role("button", name="Really stop and remove?")
    remove.click()
    expect(confirm).to_be_focused()
    expect(remove).to_be_hidden()
    confirm.press("Escape")
    expect(remove).to_be_focused()
    expect(confirm).to_be_hidden()
    remove.click()
    confirm.click()
    note = page.get_by_role("alert")
    expect(note).to_have_text("The job was removed. a sweep")
    expect(note.get_by_role("link")).to_be_focused()
    note.get_by_role("link").click()
    expect(page.get_by_role("heading", name="a sweep")).to_be_visible()


def test_what_has_ended_is_removed_without_a_question(look, job, store):
    finish(store, job)
    page = look(job, quiet=True)  # the page may just be about to be fetched
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(page.get_by_text("The job was removed.")).to_be_visible()
    assert store.jobs.get(job.id) is None


def test_each_attempt_is_told(look, job, store):
    page = look(job)
    runs = page.locator(".moi-timeline > li.moi-run")
    for number in (1, 2):
        start(store, job, attempts=3)
        expect(runs).to_have_count(number)
        expect(runs.last).to_contain_text("Started")
        store.jobs.change(
            job.id, lambda info: info.requeued(State.FAILED, f"x\nrun {info.attempt} fails")
        )
        expect(runs.last).to_contain_text("Ended")
    finish(store, job, State.FAILED, result="run 3 fails")
    expect(runs).to_contain_text(["Attempt 1 · Failed", "Attempt 2 · Failed", "Attempt 3 · Failed"])
    expect(runs).to_contain_text(["run 1 fails", "run 2 fails", "run 3 fails"])
    assert runs.first.locator("time[title]").count() == 2


def test_a_long_name_stays_in_the_page(look, ada, store):
    job = job_in(store, Group.create(ada, "g" * 200), "n" * 200)
    noted = {"name": "f" * 200, "path": "", "size": 1, "type": "text/csv"}
    store.artifacts.save_file(job.id, "f" * 200, json.dumps(noted))
    page = look(job, viewport={"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 390])
def test_no_barriers(look, job, store, scheme, width):
    store.jobs.change(
        job.id, lambda info: info.changed(state=State.RUNNING, progress=0.3, done=3, total=9)
    )
    store.logs.open(job.id).append(
        [OutputPiece("stdout", "".join(f"\x1b[{code}mcolour\x1b[0m\n" for code in range(30, 38)))],
        9999,
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


def test_a_job_that_is_removed_says_so_in_its_page(look, job, store):
    store.logs.open(job.id).append([OutputPiece("stdout", "said\n")], 1000)
    page = look(job, quiet=True)  # the page may just be about to be fetched
    store.tree.remove(job.id)
    expect(page.get_by_role("alert")).to_have_text("The job was removed. a sweep")
    expect(page.locator("[data-moi=output]")).to_have_text("said\n")
    expect(page.get_by_role("button")).to_have_count(0)
    expect(page.get_by_text("Not live: the connection is lost")).to_be_hidden()
    expect(page.get_by_role("link", name="Download")).to_have_count(0)


def test_a_job_that_was_removed_unheard_is_not_waited_for(visit, site_env, job, store):
    port = free_port()
    with site_process(port, **site_env):
        page = visit(port, f"/moi/jobs/{job.id}/", live=False, quiet=True)
        expect(page.locator("moi-job[live]")).to_be_visible()
    store.tree.remove(job.id)
    with site_process(port, **site_env):
        gone = page.get_by_text("There is no such job, or you may not see it.")
        expect(gone).to_be_visible(timeout=30_000)
        expect(page.get_by_text("Not live: the connection is lost")).to_be_hidden()


# What stands left of what: where characters of a text begin, by their numbers.
PLACES = """(element, numbers) => numbers.map(number => {
  const range = document.createRange();
  range.setStart(element.firstChild, number);
  range.setEnd(element.firstChild, number + 1);
  return range.getBoundingClientRect().left;
})"""


def test_code_and_addresses_run_from_left_to_right_on_a_page_that_does_not(
    site_env,
    visit,
    ada,
    store,
):
    job = job_in(store, Group.of(ada), "a job", url="/result")
    error = "Traceback (most recent call last):\n  1 / 0\n  ~~^~~\nZeroDivisionError: division"
    finish(store, job, State.FAILED, result=error)
    port = free_port()
    with site_process(port, **site_env, MOI_TEST_LANGUAGE="ar"):
        page = visit(port, f"/moi/jobs/{job.id}/", live=False)
        expect(page.locator("moi-job[live][lang=ar][dir=rtl]")).to_be_visible()
        page.locator("summary").click()
        first, last = page.locator(".moi-fields a").evaluate(PLACES, [0, len("/result") - 1])
        assert first < last
        begin, colon, code, caret, end = page.locator(".moi-text").evaluate(
            PLACES, [0, error.index(":"), error.index("1"), error.index("^"), error.index("Zero")]
        )
        assert begin == end < code < caret < colon
        page.close()


def test_a_double_click_does_not_press_what_comes_in_the_place_of_a_button(look, job, store):
    page = look(job)
    retry = page.get_by_role("button", name="Retry")
    posted = []
    page.on("request", lambda request: request.method == "POST" and posted.append(request.url))
    press_twice(
        page, page.get_by_role("button", name="Cancel"), lambda: expect(retry).to_be_visible()
    )
    page.reload()
    expect(page.locator("moi-job[live]")).to_be_visible()
    assert posted == []


def test_a_key_held_down_presses_one_button(look, job, store):
    page = look(job)
    page.get_by_role("button", name="Cancel").focus()
    page.keyboard.down("Enter")
    expect(page.get_by_role("button", name="Remove")).to_be_focused()
    page.keyboard.down("Enter")
    page.keyboard.up("Enter")
    page.reload()
    expect(page.get_by_role("status")).to_have_text("Cancelled")


# The output


def test_the_output_wraps_unless_that_is_turned_off(look, job, store):
    store.logs.open(job.id).append([OutputPiece("stdout", "x " * 1_000)], 9_999)
    for scripts in (True, False):
        page = look(job, java_script_enabled=scripts)
        output = page.locator(".moi-output")
        expect(output).to_contain_text("x x x")
        assert not output.evaluate("pre => pre.scrollWidth > pre.clientWidth")
        page.get_by_label("Wrap lines").uncheck()
        assert output.evaluate("pre => pre.scrollWidth > pre.clientWidth")
        page.get_by_label("Wrap lines").check()
        expect(page.get_by_label("Follow the end")).to_be_visible(visible=scripts)


AT_END = "pre => pre.scrollTop + pre.clientHeight >= pre.scrollHeight - 10"


def test_the_output_is_followed_until_somebody_looks_elsewhere(look, job, store):
    log = store.logs.open(job.id)
    page = look(job)
    output, follow = page.locator("[data-moi=output]"), page.get_by_label("Follow the end")

    def say_lines(text):
        log.append([OutputPiece("stdout", f"{text}\n" * 100 + f"end of {text}\n")], 99_999)
        expect(output).to_contain_text(f"end of {text}")

    say_lines("first")
    assert output.evaluate(AT_END)
    output.evaluate("pre => pre.scrollTo(0, 100)")
    expect(follow).not_to_be_checked()
    say_lines("second")
    assert output.evaluate("pre => pre.scrollTop") == 100
    follow.check()
    assert output.evaluate(AT_END)
    say_lines("third")
    assert output.evaluate(AT_END)


@pytest.mark.parametrize("scripts", [True, False])
def test_the_output_is_searched(look, job, store, scripts):
    text = "".join(f"line {number}\n" for number in range(200)) + f"{EVIL}\n"
    store.logs.open(job.id).append([OutputPiece("stdout", text)], 99_999)
    page = look(job, java_script_enabled=scripts)
    page.get_by_label("Search the output").fill("LINE 19")
    page.get_by_label("Search the output").press("Enter")
    expect(page.get_by_text("11 lines have it.")).to_be_visible()
    found = page.locator(".moi-output")
    expect(found.locator("mark").first).to_have_text("line 19")
    expect(found.locator("> span")).to_have_count(11)
    assert found.locator("> span").first.evaluate("e => e.dataset.line") == "20"
    if scripts:
        expect(page.locator("moi-job[live]")).to_be_visible()
        finish(store, job, result=42)
        expect(page.get_by_text("Ended")).to_be_visible()
        expect(found.locator("> span")).to_have_count(11)
        assert no_barriers(page, 1280)
    page.get_by_role("link", name="Show all the output").click()
    expect(page.locator("[data-moi=output]")).to_contain_text("line 0")


def test_lines_are_numbered_and_copied_without_their_numbers(look, job, store):
    text = "one\n" + "x" * 1_500 + "\nthree\n"
    store.logs.open(job.id).append([OutputPiece("stdout", text)], 9_999)
    page = look(job)
    output = page.locator("[data-moi=output]")
    expect(output).to_have_js_property("textContent", text)
    numbered = """pre => [...pre.children].map(line =>
        getComputedStyle(line, "::before").content.startsWith("counter(moi-line)"))"""
    # The row in which the long line goes on has none, nor has what is yet to come.
    assert output.evaluate(numbered) == [True, True, False, True, False]


# The failure


def test_a_failure_shows_the_users_lines_and_then_all(look, job, store):
    library = '  File "/x/lib/python3.12/json/decoder.py", line 9, in decode\n    raise\n'
    own = '  File "/site/lab.py", line 3, in run\n    json.loads(text)\n'
    error = f"Traceback (most recent call last):\n{own}{library}ValueError: {EVIL}"
    page = look(job)
    finish(store, job, State.FAILED, result=error)
    expect(page.get_by_text(f"ValueError: {EVIL}").first).to_be_visible()
    expect(page.get_by_text("/site/lab.py").first).to_be_visible()
    whole = page.get_by_text("json/decoder.py")
    expect(whole).to_be_hidden()
    page.get_by_text("The whole traceback").click()
    expect(whole).to_be_visible()
    assert page.title() == "a job"
    assert no_barriers(page, 1280)


# The way to it


def test_the_way_leads_up(look, job):
    page = look(job)
    way = page.get_by_role("navigation", name="Where this is").get_by_role("link")
    expect(way).to_have_text(["Your jobs", "a sweep"])
    way.last.click()
    expect(page.get_by_role("heading", name="a sweep")).to_be_visible()
    page.get_by_role("navigation").get_by_role("link", name="Your jobs").click()
    expect(page.get_by_role("heading", name="Your jobs")).to_be_visible()
    expect(page.locator("moi-jobs[live]").get_by_role("link", name="a sweep")).to_be_visible()
    assert no_barriers(page, 1280)
