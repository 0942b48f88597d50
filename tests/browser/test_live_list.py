"""The page as people have it: a real Chromium, a real server, a real Redis."""

import itertools
import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from moi_django import Group
from moi_django.models import State, now
from tests.helpers.pages import row
from tests.helpers.processes import free_port, site_process
from tests.helpers.records import finish, job_in, many_jobs_in, mark_retried

pytestmark = pytest.mark.django_db(transaction=True)

EVIL = "<img src=x onerror=document.title='owned'><script>document.title='owned'</script>"
OFFLINE = "Not live: the connection is lost."


def test_groups_are_nested_lists_with_a_link(port, visit, ada, store):
    page = visit(port)
    outer = Group.create(ada, "outer", url="/group")
    inner = Group.create(outer, "inner")
    jobs = [job_in(store, inner, f"job {number}") for number in range(3)]
    expect(page.locator(".moi-item .moi-item .moi-item .moi-name")).to_have_text(
        ["job 0", "job 1", "job 2"]
    )
    expect(page.get_by_role("link", name="outer", exact=True)).to_have_attribute(
        "href", f"/group/{outer.id}"
    )
    expect(row(page, "outer").locator("span[data-part=queued]").first).to_have_text("3 waiting")
    live = page.locator("moi-jobs").inner_text()
    page.reload()
    expect(page.locator("moi-jobs[live]")).to_be_visible()
    assert page.locator("moi-jobs").inner_text() == live
    page.get_by_role("button", name="Remove outer").click()
    page.get_by_role("button", name="Really remove 3 jobs?").click()
    expect(page.locator(".moi-item")).to_have_count(0)
    assert store.jobs.get(jobs[0].id) is None


def test_what_a_job_says_is_text(port, visit, ada, store):
    painted = job_in(store, Group.of(ada), EVIL, url="javascript:document.title='owned'")
    page = visit(port)
    finish(store, painted, result=EVIL)
    live = job_in(store, Group.of(ada), "live" + EVIL)
    told = job_in(store, Group.of(ada), "told", url="data:text/html,x")
    store.jobs.change(told.id, lambda info: info.changed(status=EVIL))
    expect(page.locator(".moi-name").nth(1)).to_have_text("live" + EVIL)
    expect(row(page, "told").locator("[data-moi=status]")).to_have_text(EVIL)
    finish(store, told)
    expect(row(page, "told")).to_have_attribute("data-state", "success")
    expect(page.locator(".moi-item[data-state=success]")).to_have_count(2)
    # What has no url that is safe to follow leads to our page.
    pages = [f"/moi/jobs/{job.id}/" for job in (told, live, painted)]
    links = page.locator(".moi-item").get_by_role("link").all()
    assert [link.get_attribute("href") for link in links] == pages
    assert page.title() == "Jobs"


def test_several_divs_each_show_their_group(port, visit, ada, store):
    one, two = Group.create(ada, "one"), Group.create(ada, "two")
    page = visit(port, f"/with/{one.id}")
    job_in(store, one, "in one")
    job_in(store, two, "in two")
    mine, single = page.locator("moi-jobs").all()
    expect(mine.locator(".moi-item")).to_have_count(4)
    expect(single.locator(".moi-name")).to_have_text(["in one"])
    expect(page.get_by_role("heading", name="One group")).to_be_visible()


def test_a_group_keeps_its_order_on_its_own_page(port, visit, ada, store):
    group = Group.create(ada, "a sweep")
    job_in(store, group, "job 0")
    page = visit(port, f"/with/{group.id}?limit=2")
    shown = page.locator("moi-jobs").nth(1)
    for number in range(1, 4):
        job_in(store, group, f"job {number}")
    names = shown.locator(".moi-name:visible")
    more = shown.get_by_role("button", name="Show more")
    for _ in range(2):
        expect(more).to_have_text("Show more (2)")
        expect(names).to_have_text(["job 0", "job 1"])
        page.reload()
        expect(page.locator("moi-jobs:not([live])")).to_have_count(0)
    more.click()
    expect(names).to_have_text([f"job {number}" for number in range(4)])
    expect(more).to_be_hidden()


def test_times_are_those_of_the_viewer(port, visit, ada, store):
    job_in(store, Group.of(ada), "painted", date_created="2026-01-02 15:04:05.000006")
    page = visit(port, timezone_id="Asia/Tokyo", locale="en-GB")
    job_in(store, Group.of(ada), "live", date_created="2026-01-02 15:04:05.000006")
    for name in ("painted", "live"):
        time = row(page, name).locator("time")
        expect(time).to_have_text("3 Jan 2026, 00:04")
        expect(time).to_have_attribute("datetime", "2026-01-02T15:04:05.000006Z")


def test_only_endings_are_announced(port, visit, ada, store):
    page = visit(port)
    said = page.get_by_role("status")
    job = job_in(store, Group.of(ada), "a job")
    store.jobs.change(job.id, lambda info: info.changed(status="half way"))
    expect(row(page, "a job").locator("[data-moi=status]")).to_have_text("half way")
    expect(said).to_be_empty()
    finish(store, job, State.FAILED)
    expect(said).to_have_text("a job: Failed")


def test_the_limit_hides_the_oldest(port, visit, ada, store):
    page = visit(port, "/?limit=2")
    jobs = [job_in(store, Group.of(ada), f"job {number}") for number in range(4)]
    expect(page.locator(".moi-name:visible")).to_have_text(["job 3", "job 2"])
    older = page.get_by_role("button", name="Show older ones")
    expect(older).to_have_text("Show older ones (2)")
    store.tree.remove(jobs[3].id)
    expect(page.locator(".moi-name:visible")).to_have_text(["job 2", "job 1"])
    page.reload()
    expect(older).to_have_text("Show older ones (1)")
    expect(page.locator("moi-jobs[live]")).to_be_visible()
    older.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".moi-name:visible")).to_have_text(["job 2", "job 1", "job 0"])
    expect(older).to_be_hidden()
    expect(row(page, "job 0").get_by_role("button", name="Remove")).to_be_focused()


def test_without_scripts_the_page_shows_how_things_are(port, visit, ada, store):
    job_in(store, Group.of(ada), "a job")
    page = visit(port, live=False, java_script_enabled=False)
    expect(row(page, "a job").locator("[data-moi=status]")).to_have_text("Queued")
    # What needs the script is not there.
    expect(page.locator(".moi-item").get_by_role("button")).to_have_count(0)


def test_the_focus_stays_in_the_list_when_its_row_goes(port, visit, ada, store):
    for name in ("first", "second"):
        finish(store, job_in(store, Group.of(ada), name))
    page = visit(port)
    remove = row(page, "first").get_by_role("button", name="Remove")
    row(page, "second").get_by_role("button", name="Remove").press("Enter")
    expect(remove).to_be_focused()
    remove.press("Enter")
    expect(page.locator("moi-jobs")).to_be_focused()


@pytest.mark.parametrize("language", ["en", "ar"])
def test_no_barriers(visit, site_env, ada, store, language):
    """In any colours, on any screen, in either direction; a question asked, a job waiting."""
    group = Group.create(ada, "a sweep", url="/group")
    for state in (State.SUCCESS, State.FAILED, State.LOST, State.CANCELLED):
        finish(store, job_in(store, group, f"a job {state}", url="/result"), state)
    job_in(store, group, "waiting")
    running = job_in(store, Group.of(ada), "running")
    begun = {"state": State.RUNNING, "status": "On my way", "date_start": now()}
    store.jobs.change(
        running.id, lambda info: info.changed(progress=0.3, done=3, total=10, **begun)
    )
    mark_retried(store, finish(store, job_in(store, Group.of(ada)), State.FAILED).id, "new")
    port = free_port()
    with site_process(port, **site_env, MOI_TEST_LANGUAGE=language):
        for scheme, width in itertools.product(["light", "dark"], [1200, 390]):
            page = visit(
                port,
                "/?notify=1",
                color_scheme=scheme,
                viewport={"width": width, "height": 800},
                permissions=["notifications"],
            )
            page.locator(".moi-group > .moi-row .moi-remove").click()
            name = f"new {scheme} {width}"
            job_in(store, Group.of(ada), name)
            expect(page.locator(".moi-newer > button")).to_be_visible()
            expect(page.locator(".moi-confirm:visible")).to_be_focused()
            found = Axe().run(page)
            assert found.violations_count == 0, found.generate_report()
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.locator("html").get_attribute("dir") == (
                "rtl" if language == "ar" else "ltr"
            )
            page.close()


def test_a_page_says_when_it_is_not_live_and_catches_up(visit, site_env, ada, store):
    port, root = free_port(), Group.of(ada)
    with site_process(port, **site_env):
        changed, removed = job_in(store, root, "changed"), job_in(store, root, "removed")
        page = visit(port, quiet=True)
        expect(page.get_by_text(OFFLINE)).to_be_hidden()
        button = row(page, "changed").get_by_role("button", name="Remove")
        expect(button).to_be_enabled()
    expect(page.get_by_text(OFFLINE)).to_be_visible()
    expect(button).to_be_disabled()
    finish(store, changed)
    store.tree.remove(removed.id)
    job_in(store, root, "added")
    with site_process(port, **site_env):
        expect(page.get_by_text(OFFLINE)).to_be_hidden(timeout=30_000)
        expect(page.locator(".moi-name")).to_have_text(["added", "changed"])
        expect(page.locator("[data-moi=status]")).to_have_text(["Queued", "Success"])
        expect(button).to_be_enabled()


def test_a_page_whose_session_has_ended_says_so(visit, site_env, ada, store):
    port = free_port()
    with site_process(port, **site_env):
        page = visit(port, quiet=True)
        page.context.clear_cookies()
    with site_process(port, **site_env):
        refused = page.get_by_text("Not live. Reload the page; you may have to log in again.")
        expect(refused).to_be_visible(timeout=30_000)
        expect(page.get_by_text(OFFLINE)).to_be_hidden()


def test_a_lost_redis_shows_until_it_is_back(port, visit, ada, store):
    job = job_in(store, Group.of(ada), "a job")
    page = visit(port)
    page.evaluate(
        """() => {
            const line = document.querySelector("[data-moi=offline]");
            window.shown = 0;
            new MutationObserver(() => { window.shown += !line.hidden; })
                .observe(line, { attributes: true });
        }"""
    )
    store.connection.redis.client_kill_filter(_type="pubsub")
    store.jobs.change(job.id, lambda info: info.changed(status="unheard"))
    expect(row(page, "a job").locator("[data-moi=status]")).to_have_text("unheard")
    expect(page.get_by_text(OFFLINE)).to_be_hidden()
    assert page.evaluate("window.shown") >= 1


def test_every_change_of_many_arrives(port, visit, ada, store):
    page = visit(port)
    group = Group.create(ada, "many")
    expect(row(page, "many")).to_be_visible()  # open, which it would not be as large as it will be
    jobs = [job_in(store, group, f"job {number}", date_created=now()) for number in range(200)]
    for job in jobs:
        finish(store, job)
    expect(page.locator("span[data-part=success]:visible")).to_have_text("200 succeeded")
    done = page.locator(".moi-item[data-state=success]")
    expect(done).to_have_count(50)
    more = page.get_by_role("button", name="Show more of many")
    for shown in (100, 150, 200):
        expect(more).to_have_text(f"Show more of many ({250 - shown})")
        more.click()
        expect(done).to_have_count(shown)
    expect(more).to_be_hidden()
    names = page.locator(".moi-item .moi-item .moi-name").all_inner_texts()
    assert names == [job.name for job in jobs]


def test_a_group_shows_how_its_jobs_are_doing_and_can_be_closed(port, visit, ada, store):
    group = Group.create(ada, "a sweep")
    jobs = [job_in(store, group, f"job {number}") for number in range(5)]
    finish(store, jobs[0])
    page = visit(port)
    counts = row(page, "a sweep").locator("> .moi-row .moi-counts")
    expect(counts).to_have_text("1 succeeded 4 waiting", use_inner_text=True)
    store.jobs.change(jobs[1].id, lambda info: info.changed(state=State.RUNNING))
    finish(store, jobs[2], State.LOST)
    finish(store, jobs[3], State.CANCELLED)
    for name, count, start in (
        ("success", 1, 0),
        ("failed", 1, 1),
        ("cancelled", 1, 2),
        ("running", 1, 3),
        ("queued", 1, 4),
    ):
        part = page.locator(f"rect[data-part={name}]").first
        expect(part).to_have_attribute("width", str(count))
        expect(part).to_have_attribute("x", str(start))
    live = counts.inner_text()
    page.reload()
    assert counts.inner_text() == live
    toggle = page.get_by_role("button", name="Members of a sweep")
    expect(toggle).to_have_attribute("aria-expanded", "true")
    toggle.click()
    expect(page.locator(".moi-name", has_text="job 0")).to_be_hidden()
    expect(toggle).to_have_attribute("aria-expanded", "false")
    toggle.press("Enter")
    expect(page.locator(".moi-name", has_text="job 0")).to_be_visible()


def test_jobs_and_groups_are_cancelled_by_a_button(port, visit, ada, store):
    page = visit(port)
    group = Group.create(ada, "a sweep")
    jobs = [job_in(store, group, f"job {number}") for number in range(3)]
    finish(store, jobs[2])
    page.get_by_role("button", name="Cancel job 0").click()
    expect(row(page, "job 0").locator("[data-moi=status]")).to_have_text("Cancelled")
    expect(page.get_by_role("button", name="Cancel job 0")).to_be_hidden()
    expect(page.get_by_role("button", name="Cancel job 2")).to_be_hidden()
    page.get_by_role("button", name="Cancel a sweep").click()
    page.get_by_role("button", name="Really cancel 1 job?").click()
    expect(row(page, "job 1").locator("[data-moi=status]")).to_have_text("Cancelled")
    expect(page.get_by_role("button", name=re.compile("^Cancel"))).to_have_count(0)
    assert store.tree.totals(group.id) == {"cancelled": 2, "success": 1}


def test_attempts_are_seen_where_there_may_be_several(port, visit, ada, store):
    page = visit(port)
    job_in(store, Group.of(ada), "once")
    job_in(store, Group.of(ada), "often", attempts=3, attempt=2)
    status = row(page, "often").locator(".moi-status")
    expect(status).to_have_text("Queued · attempt 2/3", use_inner_text=True)
    expect(row(page, "once").locator(".moi-status")).to_have_text("Queued", use_inner_text=True)


def test_ten_thousand_jobs_are_one_row_with_a_bar(port, visit, ada, store):
    group = Group.create(ada, "very many")
    many_jobs_in(store, group, 10_000)
    page = visit(port)
    expect(page.locator("span[data-part=queued]:visible")).to_have_text("10000 waiting")
    expect(page.locator(".moi-item:visible")).to_have_count(1)
    page.get_by_role("button", name="Members of very many").click()
    expect(page.locator(".moi-item:visible")).to_have_count(51)
    expect(page.get_by_role("button", name="Show more")).to_have_text(
        "Show more of very many (9950)"
    )
    late = job_in(store, group, "late")
    finish(store, late)
    expect(page.locator("span[data-part=success]:visible")).to_have_text("1 succeeded")
    expect(page.locator(".moi-item")).to_have_count(51)
