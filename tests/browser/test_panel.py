"""The operator's panel as people have it: a real Chromium, a real server, a real Redis."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth import get_user_model
from playwright.sync_api import expect

from moi_django import Group
from moi_django.contrib.monitoring.job_search import PAGE_SIZE
from moi_django.contrib.monitoring.statistics import Statistics
from moi_django.models import State
from moi_django.store.engines import EngineMetrics
from tests.helpers.pages import PATIENCE, session_cookie
from tests.helpers.processes import free_port, site_process
from tests.helpers.records import finish, job_in, many_jobs_in

pytestmark = pytest.mark.django_db(transaction=True)

PANEL = "/admin/moi_django/alljobs/"
EVIL = "<img src=x onerror=document.title='owned'><script>document.title='owned'</script>"
OFFLINE = "Not live: the connection is lost."
REFUSED = "Not live. Reload the page; you may have to log in again."
HELD = "There are changes: the list waits"


@pytest.fixture
def olga(moi, transactional_db):
    return get_user_model().objects.create_superuser("olga", "olga@example.org")


@pytest.fixture
def group(moi, transactional_db):
    """The jobs of somebody else."""
    return Group.of("ada")


@pytest.fixture
def visit(contexts, olga):
    """Open the panel as olga; whatever the page complains of fails the test."""
    complaints = []

    def visit(port, query="", live=True, quiet=False, **options):
        given = {"viewport": {"width": 1280, "height": 2000}, **options}
        context = contexts.take(is_new=False, **given)
        context.add_cookies([session_cookie(olga, port)])
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        if not quiet:
            page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"http://127.0.0.1:{port}{PANEL}{query}")
        if live:
            expect(page.locator("moi-panel[live]")).to_be_visible()
            page.evaluate("window.loaded = 'once'")
        return page

    yield visit
    contexts.give_back()
    assert complaints == []


def row(page, name):
    return page.locator("[data-live=jobs] tr", has=page.locator(f"th:has-text('{name}')"))


def tile(page, name):
    return page.locator(".moi-tiles > div", has=page.get_by_text(name, exact=True)).locator("dd")


def test_all_of_it_is_live(port, visit, group, store):
    page = visit(port)
    expect(page.get_by_text("No such jobs.")).to_be_visible()
    job = job_in(store, group, "a search", context="default")
    expect(row(page, "a search")).to_contain_text("Queued")
    expect(page.get_by_text("No such jobs.")).to_have_count(0)
    expect(tile(page, "Waiting")).to_have_text("1")
    metrics = EngineMetrics(
        "an engine", "default", "node7", 4711, "3.13.1", 99.6, 82_000_000, 1.5, 8
    )
    store.engines.report(metrics)
    engine = page.locator("[data-live=engines] tr")
    expect(engine).to_contain_text("node7 · 4711")
    expect(engine).to_contain_text("82 MB")
    store.engines.report(metrics)  # it is still there
    store.jobs.change(job.id, lambda info: info.changed(state=State.RUNNING, engine="an engine"))
    expect(engine).to_contain_text("busy")
    expect(engine).to_contain_text("a search")
    expect(page.locator("svg rect")).to_have_count(0)
    finish(store, job, State.LOST)
    expect(row(page, "a search")).to_have_attribute("data-state", "lost")
    expect(page.locator("svg rect[data-part=failed]")).to_have_count(1)
    expect(page.get_by_text("1 job ended.")).to_be_visible()
    store.tree.remove(job.id)
    expect(row(page, "a search")).to_have_count(0)
    assert page.evaluate("window.loaded") == "once"
    live = page.locator("[data-live=tiles]").inner_text()
    page.reload()
    assert page.locator("[data-live=tiles]").inner_text() == live


def test_a_row_that_is_chosen_or_pointed_at_stays_where_it_is(port, visit, group, store):
    first = job_in(store, group, "first")
    page = visit(port)
    box = page.get_by_role("checkbox", name="Choose first")
    box.check()
    job_in(store, group, "second")
    finish(store, first)
    expect(row(page, "first")).to_contain_text("Success")
    expect(page.get_by_text(HELD)).to_be_visible()
    expect(row(page, "second")).to_have_count(0)
    expect(box).to_be_checked()
    box.uncheck()
    expect(page.get_by_text(HELD)).to_be_visible()  # it is still pointed at
    page.mouse.move(0, 0)
    box.blur()
    expect(row(page, "second")).to_be_visible()
    expect(page.get_by_text(HELD)).to_be_hidden()
    names = page.locator("[data-live=jobs] th").all_inner_texts()
    assert [name.split()[0] for name in names] == ["second", "first"]


def test_tiles_are_filters_and_lead_to_the_list(port, visit, group, store):
    finish(store, job_in(store, group, "ended"))
    job_in(store, group, "waiting")
    page = visit(port, viewport={"width": 1280, "height": 500})
    page.get_by_role("link", name="Succeeded").click()
    expect(page.get_by_label("State")).to_have_value("success")
    expect(page.get_by_role("heading", name="Jobs", exact=True)).to_be_in_viewport()
    expect(row(page, "ended")).to_be_visible()
    expect(row(page, "waiting")).to_have_count(0)
    expect(page.get_by_role("link", name="Succeeded")).to_have_attribute("aria-current", "true")


def test_what_people_do_with_the_page_outlasts_news(port, visit, group, store):
    page = visit(port)
    search = page.get_by_label("Name, id or owner")
    search.fill("half a wo")
    page.get_by_text("The same as a table").click()
    search.press("End")
    finish(store, job_in(store, group, "a job"))
    expect(row(page, "a job")).to_contain_text("Success")
    page.keyboard.type("rd")
    expect(page.locator("details tbody td").first).to_have_text("1")
    expect(page.locator("details")).to_have_attribute("open", "")
    search.press("Enter")
    expect(page).to_have_url(re.compile("q=half\\+a\\+word"))


def test_jobs_are_cancelled_in_bulk(port, visit, group, store):
    many_jobs_in(store, group, 3)
    page = visit(port)
    chosen = page.locator("[data-chosen]")
    expect(chosen).to_be_hidden()
    page.get_by_role("checkbox", name="Choose job 1").check()
    expect(chosen).to_have_text("1")
    page.get_by_role("checkbox", name="Choose all").check()
    expect(chosen).to_have_text("3")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("Cancel 3 jobs?")).to_be_visible()
    assert Axe().run(page).violations_count == 0
    page.get_by_role("button", name="Yes, cancel 3 jobs").click()
    expect(page.get_by_text("3 jobs cancelled.")).to_be_visible()
    expect(page.locator("tr[data-state=cancelled]")).to_have_count(3)
    assert Statistics(store.connection).count_by_state()["cancelled"] == 3


def test_all_that_match_are_offered_once_the_whole_page_is_chosen(port, visit, group, store):
    many_jobs_in(store, group, PAGE_SIZE + 10)
    page = visit(port)
    others = page.get_by_label("All that match, on all pages")
    expect(others).to_be_hidden()
    page.get_by_role("checkbox", name="Choose all").check()
    others.check()
    row(page, "job 5").get_by_role("checkbox").first.uncheck()
    expect(others).to_be_hidden()
    expect(others).not_to_be_checked()
    row(page, "job 5").get_by_role("checkbox").first.check()
    others.check()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text(f"Cancel {PAGE_SIZE + 10} jobs?")).to_be_visible()
    assert Axe().run(page).violations_count == 0
    page.get_by_role("button", name=f"Yes, cancel {PAGE_SIZE + 10} jobs").click()
    expect(page.get_by_text(f"{PAGE_SIZE + 10} jobs cancelled.")).to_be_visible()


def test_all_that_match_are_offered_without_scripts(port, visit, group, store):
    many_jobs_in(store, group, PAGE_SIZE + 1)
    page = visit(port, live=False, java_script_enabled=False)
    page.get_by_label("All that match, on all pages").check()
    page.get_by_role("button", name="Remove").click()
    page.get_by_role("button", name=f"Yes, remove {PAGE_SIZE + 1} jobs").click()
    expect(page.get_by_text(f"{PAGE_SIZE + 1} jobs removed.")).to_be_visible()


def test_a_name_leads_to_the_job_and_its_id_can_be_copied(port, visit, group, store):
    job = job_in(store, group, "at work")
    page = visit(port)
    page.locator(".moi-id").click()
    assert page.evaluate("getSelection().toString()") == job.id
    page.get_by_role("link", name="at work").click()
    expect(page.get_by_role("heading", name="at work")).to_be_visible()


# Whether texts begin to the right of where they end.
ORDER = """texts => texts.map(node => {
  const range = document.createRange(), text = node.firstChild, last = text.data.length;
  const at = (start) => (range.setStart(text, start), range.setEnd(text, start + 1),
                         range.getBoundingClientRect().left);
  return at(0) > at(last - 1);
})"""


def test_in_arabic_numbers_stand_before_their_units(visit, site_env, group, store):
    finish(store, job_in(store, group, "ended"))
    store.engines.report(
        EngineMetrics("one", "default", "node7", 4711, "3.13.1", 99.6, 82_000_000, 1.5, 8)
    )
    port = free_port()
    with site_process(port, **site_env, MOI_TEST_LANGUAGE="ar"):
        page = visit(port)
        expect(page.locator("html")).to_have_attribute("dir", "rtl")
        hours = page.locator(".moi-plots a bdi")
        expect(hours).to_have_text(["1 س", "6 س", "24 س"])
        with_units = re.compile("^[0-9].* (ث|م.ب|د|ص|م)$")
        marks = page.locator(".moi-plot text", has_text=with_units)
        for texts in (hours, marks, page.locator("td bdi:visible", has_text=with_units)):
            assert texts.count() >= 3
            assert texts.evaluate_all(ORDER) == [True] * texts.count()
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        page.close()


@pytest.mark.parametrize("width", [1600, 1280, 1100, 390])
def test_words_stay_in_their_boxes_and_plots_are_not_blown_up(visit, site_env, group, store, width):
    finish(store, job_in(store, group, "ended"))
    port = free_port()
    with site_process(port, **site_env, MOI_TEST_LANGUAGE="de"):
        page = visit(port, viewport={"width": width, "height": 900})
        tiles = page.locator(".moi-tiles > div")
        wide = "tiles => tiles.filter(tile => tile.scrollWidth > tile.clientWidth).length"
        assert tiles.evaluate_all(wide) == 0
        heights = "texts => texts.map(text => text.getBoundingClientRect().height)"
        assert max(page.locator(".moi-plot text").evaluate_all(heights)) < 22
        page.close()


def test_what_jobs_say_is_text(port, visit, store):
    finish(store, job_in(store, Group.of(EVIL), EVIL, url="javascript:document.title='owned'"))
    page = visit(port)
    job = job_in(store, Group.of(EVIL), f"live {EVIL}", context=EVIL)
    store.jobs.change(job.id, lambda info: info.changed(status=EVIL))
    store.engines.report(EngineMetrics("an engine", EVIL, EVIL, 1, EVIL))
    shown = page.locator("[data-live=jobs] tr").first
    expect(shown).to_contain_text(f"live {EVIL}")
    expect(shown.locator(".moi-status")).to_contain_text(EVIL)
    expect(page.locator("[data-live=engines]")).to_contain_text(EVIL)
    expect(page.locator("a[href^=javascript]")).to_have_count(0)
    page.locator("td a", has_text=EVIL).first.click()
    expect(page.get_by_label("Owner", exact=True)).to_have_value(EVIL)
    assert "owned" not in page.title()


def test_it_says_when_it_is_not_live_and_catches_up(visit, site_env, group, store):
    port = free_port()
    with site_process(port, **site_env):
        job = job_in(store, group, "a job")
        page = visit(port, quiet=True)
        expect(page.get_by_text(OFFLINE)).to_be_hidden()
    expect(page.get_by_text(OFFLINE)).to_be_visible()
    finish(store, job)
    with site_process(port, **site_env):
        expect(page.get_by_text(OFFLINE)).to_be_hidden(timeout=30_000)
        expect(row(page, "a job")).to_contain_text("Success")
        page.close()


@pytest.mark.parametrize("lost", ["session", "permission"])
def test_who_may_not_see_it_any_more_sees_no_news(port, visit, olga, group, store, lost):
    page = visit(port, quiet=True)
    if lost == "session":
        page.context.clear_cookies()
    else:
        olga.is_superuser = False
        olga.save()
    job_in(store, group, "a secret")
    expect(page.get_by_text(REFUSED)).to_be_visible()
    expect(page.locator("moi-panel[live]")).to_have_count(0)
    expect(page.get_by_text("a secret")).to_have_count(0)


def test_without_scripts_it_works_as_pages_do(port, visit, group, store):
    finish(store, job_in(store, group, "ended"))
    job_in(store, group, "waiting")
    page = visit(port, live=False, java_script_enabled=False)
    expect(page.get_by_role("checkbox", name="Choose all")).to_have_count(0)
    page.get_by_label("State").select_option("queued")
    page.get_by_role("button", name="Search").click()
    expect(row(page, "ended")).to_have_count(0)
    page.get_by_role("checkbox", name="Choose waiting").check()
    page.get_by_role("button", name="Remove").click()
    page.get_by_role("button", name="Yes, remove 1 job").click()
    expect(page.get_by_text("1 job removed.")).to_be_visible()
    expect(page.get_by_text("No such jobs.")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark", "chosen dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_no_barriers(port, visit, group, store, scheme, width):
    for state in (State.SUCCESS, State.FAILED, State.LOST, State.CANCELLED):
        finish(store, job_in(store, group, f"a job {state}", url="/result", context="x"), state)
    job_in(store, group, "waiting", attempts=3)
    store.engines.report(
        EngineMetrics("one", "default", "node7", 4711, "3.13.1", 99.6, 82_000_000, 1.5, 8)
    )
    prefers = "dark" if scheme == "dark" else "light"
    page = visit(port, color_scheme=prefers, viewport={"width": width, "height": 800})
    if scheme == "chosen dark":
        page.get_by_role("button", name="Toggle theme").click()
        expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.locator("summary").click()
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
