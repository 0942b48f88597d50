"""What the docs say of changing the page, done as they say and looked at in a browser."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from moi_django import Group
from moi_django.models import State, now
from tests.helpers.processes import ROOT, free_port, site_process
from tests.helpers.records import finish, job_in

pytestmark = pytest.mark.django_db(transaction=True)
DOCS = (ROOT / "docs/howto/customize.md").read_text()


@pytest.fixture
def look(visit, site_env, tmp_path):
    """Open a page of a site that has these templates, as the docs have them."""

    def look(templates, path="/", then=lambda page: None, **options):
        for name in templates:
            file = tmp_path / name
            file.parent.mkdir(exist_ok=True)
            file.write_text(template(name))
        port = free_port()
        with site_process(port, **site_env, MOI_TEST_TEMPLATES=str(tmp_path)):
            page = visit(port, path, **options)
            then(page)
            page.close()

    return look


def template(name):
    """Return the first block of HTML after a template is named."""
    place = DOCS.index(f"`{name.removeprefix('moi_django/')}`", DOCS.index("shows the name") - 20)
    return re.search(r"```html\n(.*?)```", DOCS[place:], re.DOTALL)[1]


def run(store, job, **fields):
    given = {"state": State.RUNNING, "status": "Running", "date_start": now(), **fields}
    return store.jobs.change(job.id, lambda info: info.changed(**given))


def test_a_site_may_have_its_own_row(look, ada, store):
    """Both as the server renders it and as the script makes it."""

    def then(page):
        finish(store, job_in(store, Group.of(ada), "live", url="/result"))
        expect(page.locator("li b")).to_have_text(["live", "painted"])
        expect(page.get_by_role("link", name="Success")).to_have_count(2)
        expect(page.locator("li time")).to_have_text([re.compile(r"\d:\d\d:\d\d")] * 2)

    finish(store, job_in(store, Group.of(ada), "painted", url="/result"))
    look(["moi_django/_job.html"], then=then)


def test_a_badge_says_how_many_jobs_run(look, ada, store):
    def then(page):
        badge = page.locator("moi-jobs")
        expect(badge).to_have_text("1 running", use_inner_text=True)
        job = run(store, job_in(store, Group.create(ada, "a sweep")))
        expect(badge).to_have_text("2 running", use_inner_text=True)
        for each in (first, job):
            finish(store, each)
        expect(badge).to_have_text("", use_inner_text=True)
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        expect(page.locator("[data-id]")).to_have_count(0)

    first = run(store, job_in(store, Group.of(ada)))
    look(["lab/badge.html"], "/?own=lab/badge.html", then)


def test_cards_have_the_classes_of_bootstrap(look, ada, store):
    def then(page):
        cards = page.locator("li.card")
        painted = [each.get_attribute("class") for each in cards.all()]
        group = Group.create(ada, "live group")
        within = job_in(store, group, "in it")
        live = run(store, job_in(store, Group.of(ada), "live"), progress=0.4)
        expect(cards.locator("strong")).to_have_text(["live", "live group", "a sweep", "painted"])
        assert [each.get_attribute("class") for each in cards.all()] == painted * 2
        bar = page.get_by_role("progressbar")
        expect(bar).to_have_js_property("value", 0.4)
        finish(store, within)
        expect(cards.nth(1).locator("small")).to_have_text("1 succeeded", use_inner_text=True)
        expect(cards.nth(0).locator(".badge")).to_have_text("Running")
        finish(store, live)
        expect(cards.nth(0).locator(".badge")).to_have_text("Success")
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        page.get_by_role("button", name="Remove").nth(1).click()
        page.get_by_role("button", name="Really remove 1 job?").click()
        expect(cards.locator("strong")).to_have_text(["live", "a sweep", "painted"])

    finish(store, job_in(store, Group.of(ada), "painted", url="/result"))
    job_in(store, Group.create(ada, "a sweep"), "hidden")
    look(["lab/cards.html", "lab/_card.html"], "/?own=lab/cards.html", then)


def test_a_table_has_rows(look, ada, store):
    def then(page):
        rows = page.locator("moi-jobs > table > tbody > tr")
        expect(rows.locator("th")).to_have_text(["painted"])
        live = job_in(store, Group.of(ada), "live", url="/result")
        expect(page.get_by_role("row", name="live Queued")).to_be_visible()
        run(store, live)
        expect(rows.nth(0).locator("td").nth(1)).to_have_text(re.compile(r"0:\d\d"))
        finish(store, live)
        expect(page.get_by_role("row", name="live Success 0:00")).to_be_visible()
        expect(rows.locator("th")).to_have_text(["live", "painted"])
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        store.tree.remove(live.id)
        expect(rows).to_have_count(1)

    finish(store, job_in(store, Group.of(ada), "painted", url="/result"))
    look(["lab/table.html", "lab/_line.html"], "/?own=lab/table.html", then)
    look([], "/?own=lab/table.html", lambda page: expect(page.locator("tr")).to_have_count(2), **NO)


NO = {"java_script_enabled": False, "live": False}


def test_a_script_of_the_site_hears_of_rows(look, ada, store):
    script = re.search(r"```js\n(.*?)```", DOCS, re.DOTALL)[1]

    def then(page):
        run(store, job, progress=0)
        expect(page.locator(".moi-item.overdue")).to_have_count(1)
        store.jobs.change(job.id, lambda info: info.changed(progress=0.1))
        expect(page.locator(".moi-item.overdue")).to_have_count(0)

    job = job_in(store, Group.of(ada))
    look([], then=then, prepare=lambda page: page.add_init_script(script))
