"""What a page does by itself and at a press of a button: clocks, questions, waiting rows, news."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth import get_user_model
from playwright.sync_api import expect

from moi_django import Group, Job
from moi_django.models import State
from tests.helpers.pages import press_twice, row
from tests.helpers.processes import free_port, site_process
from tests.helpers.records import finish, job_in

pytestmark = pytest.mark.django_db(transaction=True)
BEGUN = datetime(2026, 1, 2, 15, 0, 0, tzinfo=UTC)


def text_of(date):
    return date.strftime("%Y-%m-%d %H:%M:%S.%f")


def run(store, job, **fields):
    """Let a job run since a while."""
    given = {"state": State.RUNNING, "status": "Running", "date_start": text_of(BEGUN), **fields}
    return store.jobs.change(job.id, lambda info: info.changed(**given))


def at(**later):
    """Return what lets the clock of a page stand at a time after the beginning."""

    def prepare(page):
        page.clock.install(time=BEGUN)
        page.clock.pause_at(BEGUN + timedelta(**later))

    return prepare


# Progress


def test_progress_and_times_of_a_job_that_runs(port, visit, ada, store):
    job = job_in(store, Group.of(ada), "a job")
    page = visit(port, prepare=at(seconds=180), live=False)
    shown = row(page, "a job")
    figures = shown.locator(".moi-work")
    bar = page.get_by_role("progressbar", name="Progress of a job")
    expect(page.locator("moi-jobs[live]")).to_be_visible()
    expect(bar).to_be_hidden()
    expect(figures).to_have_text("", use_inner_text=True)
    run(store, job, progress=0.25, done=2.5, total=10)
    expect(figures).to_contain_text("2.5/10")
    expect(bar).to_have_js_property("value", 0.25)
    expect(figures.locator("[data-moi=elapsed]")).to_have_text("3:00")
    expect(figures.locator("[data-moi=remaining]")).to_have_text("about 9 min left")
    page.clock.run_for(1000)
    expect(figures.locator("[data-moi=elapsed]")).to_have_text("3:01")
    page.clock.fast_forward(499_000)
    expect(figures.locator("[data-moi=elapsed]")).to_have_text("11:20")
    expect(figures.locator("[data-moi=remaining]")).to_have_text("about 40 s left")
    # After such a silence the page asks whether anybody is there, and has to hear of somebody.
    job_in(store, Group.of(ada), "another")
    expect(row(page, "another")).to_be_visible()
    page.clock.fast_forward(100_000)
    expect(figures.locator("[data-moi=remaining]")).to_be_empty()
    store.jobs.change(job.id, lambda info: info.changed(progress=0.5, done=0.5, total=None))
    expect(figures).to_contain_text("50%")
    expect(figures.locator("[data-moi=remaining]")).to_have_text("about 13 min left")
    ended = {"state": State.SUCCESS, "status": "Success"}
    end = text_of(BEGUN + timedelta(hours=1, minutes=2, seconds=3.9))
    store.jobs.change(job.id, lambda info: info.changed(progress=1, date_end=end, **ended))
    expect(bar).to_be_hidden()
    expect(figures).to_have_text("Run time 1:02:03")
    # Figures that tick are not for the ear.
    speaking = "[aria-live], [role=status], [role=alert], [role=log], [role=timer]"
    expect(page.locator(speaking).locator("[data-moi=elapsed]")).to_have_count(0)


def test_without_scripts_the_figures_are_the_same(port, visit, ada, store):
    for name, progress, ago in (("one", 0.5, 80), ("two", 0.1, 3600), ("three", None, 10)):
        begun = text_of(datetime.now(UTC) - timedelta(seconds=ago))
        job = job_in(store, Group.of(ada), name)
        amount = {"done": 1, "total": 2} if name == "one" else {}
        run(store, job, progress=progress, date_start=begun, **amount)
    finish(store, run(store, job_in(store, Group.of(ada), "four"), progress=0.2), State.FAILED)
    looks = {}
    for scripts in (False, True):
        page = visit(port, live=scripts, java_script_enabled=scripts)
        texts = [each.inner_text() for each in page.locator(".moi-work").all()]
        looks[scripts] = [re.sub(r":\d\d\b", ":00", text) for text in texts]
        bars = page.locator("progress:visible")
        values = [bar.get_attribute("value") for bar in bars.all()]
        looks[scripts].append([float(value) for value in values])
    assert looks[False] == looks[True]
    assert "about 9 h left" in looks[False][2]
    assert re.search(r"1/2\s+Run time\s+1:00\s+about 85 s|about 1 min left", looks[False][3])


# Questions


@pytest.fixture
def sweep(ada, store):
    """A group with two jobs that wait and one that has ended."""
    group = Group.create(ada, "a sweep")
    jobs = [job_in(store, group, f"job {number}") for number in range(3)]
    finish(store, jobs[2])
    return group


def button(page, name):
    return page.get_by_role("button", name=name, exact=True)


@pytest.mark.parametrize("way", ["Escape", "blur", "time"])
def test_a_question_may_be_taken_back(port, visit, sweep, store, way):
    page = visit(port, prepare=lambda page: page.clock.install())
    remove, question = button(page, "Remove a sweep"), button(page, "Really remove 3 jobs?")
    remove.focus()
    page.keyboard.press("Enter")
    expect(question).to_be_focused()
    expect(remove).to_be_hidden()
    if way == "Escape":
        page.keyboard.press("Escape")
    elif way == "blur":
        page.keyboard.press("Tab")
    else:
        page.clock.fast_forward(10_000)
    expect(question).to_be_hidden()
    expect(remove).to_be_visible()
    if way != "blur":
        expect(remove).to_be_focused()
    assert len(store.tree.subtree(sweep.id)) == 4


def test_a_question_is_answered_once(port, visit, sweep, store):
    page = visit(port)
    button(page, "Cancel a sweep").click()
    button(page, "Remove job 0").click()
    expect(button(page, "Really cancel 2 jobs?")).to_be_hidden()
    # What has not ended is asked about as well.
    button(page, "Really stop and remove?").press("Enter")
    expect(page.locator(".moi-name", has_text="job 0")).to_have_count(0)
    expect(button(page, "Remove job 1")).to_be_focused()
    button(page, "Cancel a sweep").click()
    button(page, "Really cancel 1 job?").click()
    expect(row(page, "job 1").locator("[data-moi=status]")).to_have_text("Cancelled")
    expect(button(page, "Remove a sweep")).to_be_focused()
    button(page, "Remove job 2").click()
    expect(page.locator(".moi-name", has_text="job 2")).to_have_count(0)
    assert [info.name for info in store.tree.subtree(sweep.id)] == ["a sweep", "job 1"]


def test_neither_a_double_click_nor_a_held_key_answers(port, visit, sweep, store):
    page = visit(port)
    question = button(page, "Really remove 3 jobs?")
    button(page, "Remove a sweep").dblclick()
    expect(question).to_be_visible()
    page.keyboard.press("Escape")
    button(page, "Remove a sweep").focus()
    for _ in range(5):
        page.keyboard.down("Enter")  # the second and further ones are repetitions
    page.keyboard.up("Enter")
    expect(question).to_be_focused()
    job_in(store, Group.of(get_user_model().objects.get()), "later")
    expect(page.locator(".moi-name", has_text="later")).to_have_count(1)
    assert len(store.tree.subtree(sweep.id)) == 4


def test_a_question_counts_what_there_is_when_it_is_asked(port, visit, ada, sweep, store):
    page = visit(port)
    empty = Group.create(ada, "empty")
    button(page, "Remove empty").click()
    expect(page.locator(".moi-name", has_text="empty")).to_have_count(0)
    assert store.jobs.get(empty.id) is None
    job_in(store, sweep, "one more")
    expect(row(page, "a sweep").locator("> .moi-row .moi-counts")).to_contain_text("3 waiting")
    button(page, "Cancel a sweep").click()
    expect(button(page, "Really cancel 3 jobs?")).to_be_visible()
    # When what it asks about goes, so does the question.
    store.tree.remove(sweep.id)
    expect(page.locator(".moi-item")).to_have_count(0)
    expect(page.locator("moi-jobs")).to_be_focused()


# Retries


def test_why_a_job_cannot_be_retried_is_said(visit, site_env, ada, store):
    job = finish(store, job_in(store, Group.of(ada), "a job"), State.FAILED)
    port = free_port()
    with site_process(port, **site_env, MOI_TEST_LANGUAGE="de"):
        page = visit(port)
        button(page, "Wiederholen a job").click()
        alert = page.get_by_role("alert")
        expect(alert).to_contain_text("Wiederholen war nicht möglich.")
        expect(alert.locator("[lang=en]")).to_contain_text(f"The function of job {job.id} is not")
        page.close()


# New rows


def test_new_rows_wait_while_somebody_points_into_the_list(port, visit, ada, store):
    root = Group.of(ada)
    old = job_in(store, root, "old")
    page = visit(port)
    names = page.locator(".moi-name:visible")
    place = row(page, "old").bounding_box()
    row(page, "old").hover()
    new = [job_in(store, root, f"new {number}") for number in range(3)]
    waiting = button(page, "3 new jobs")
    expect(waiting).to_be_visible()
    expect(names).to_have_text(["old"])
    assert row(page, "old").bounding_box() == place
    # Updates go on, those of what waits too; what is removed waits no more.
    store.jobs.change(old.id, lambda info: info.changed(status="still me"))
    finish(store, new[1])
    store.tree.remove(new[0].id)
    expect(row(page, "old").locator("[data-moi=status]")).to_have_text("still me")
    expect(button(page, "2 new jobs")).to_be_visible()
    button(page, "2 new jobs").click()
    expect(names).to_have_text(["new 2", "new 1", "old"])
    expect(row(page, "new 1")).to_have_attribute("data-state", "success")
    expect(button(page, "Remove new 2")).to_be_focused()
    row(page, "new 1").hover()
    job_in(store, root, "last")
    expect(button(page, "1 new job")).to_be_visible()
    page.mouse.move(5, 5)
    expect(names).to_have_text(["last", "new 2", "new 1", "old"])
    expect(page.locator(".moi-newer > button")).to_be_hidden()


def test_new_rows_wait_while_the_keyboard_is_in_the_list(port, visit, ada, store):
    root = Group.of(ada)
    finish(store, job_in(store, root, "old"))
    page = visit(port)
    names = page.locator(".moi-name:visible")
    row(page, "old").get_by_role("link").focus()
    page.keyboard.press("Tab")
    expect(button(page, "Remove old")).to_be_focused()
    job_in(store, root, "new")
    expect(button(page, "1 new job")).to_be_visible()
    for _ in range(2):
        page.keyboard.press("Shift+Tab")
    expect(button(page, "1 new job")).to_be_focused()
    expect(names).to_have_text(["old"])
    page.keyboard.press("Enter")
    expect(names).to_have_text(["new", "old"])
    expect(button(page, "Cancel new")).to_be_visible()
    job_in(store, root, "newer")
    expect(button(page, "1 new job")).to_be_visible()
    page.evaluate("document.activeElement.blur()")
    expect(names).to_have_text(["newer", "new", "old"])


def test_nothing_moves_away_from_under_the_pointer(port, visit, ada, store):
    """Neither for what comes or goes in groups above, nor for rows that go."""
    root = Group.of(ada)
    finish(store, job_in(store, root, "old"))
    group = Group.create(ada, "a sweep")
    inner = [job_in(store, group, f"inner {number}") for number in range(3)]
    newest = finish(store, job_in(store, root, "newest"))
    page = visit(port)
    expect(page.locator(".moi-name:visible").last).to_have_text("old")
    place = row(page, "old").bounding_box()
    row(page, "old").hover()
    job_in(store, group, "late")
    expect(button(page, "1 new job")).to_be_visible()
    store.tree.remove(newest.id)
    store.tree.remove(inner[0].id)
    for name in ("newest", "inner 0"):
        expect(row(page, name)).to_have_attribute("data-removed", "")
        expect(button(page, f"Remove {name}")).to_be_disabled()
    run(store, inner[1], progress=0.5, done=1, total=2)
    expect(page.get_by_role("progressbar")).to_be_visible()
    assert row(page, "old").bounding_box() == place
    # What comes and goes below moves nothing above.
    page.mouse.move(5, 5)
    names = ["a sweep", "inner 1", "inner 2", "late", "old"]
    expect(page.locator(".moi-name:visible")).to_have_text(names)
    row(page, "a sweep").locator("> .moi-row").hover()
    store.tree.remove(inner[2].id)
    job_in(store, group, "last")
    expect(page.locator(".moi-name:visible")).to_have_text([*names[:2], "late", "last", "old"])


def test_a_double_click_removes_one_row(port, visit, ada, store):
    root = Group.of(ada)
    for number in range(3):
        finish(store, job_in(store, root, f"job {number}"))
    # However long the first click takes, no time goes by in the page before the second.
    page = visit(port, live=False, prepare=at(seconds=1))
    expect(page.locator("moi-jobs[live]")).to_be_visible()
    box = button(page, "Remove job 2").bounding_box()
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.click(*middle)
    expect(row(page, "job 2")).to_have_count(0)
    page.mouse.click(*middle)
    expect(row(page, "job 1")).to_have_count(1)
    # Nor does a key that is held down.
    button(page, "Remove job 1").focus()
    page.keyboard.down("Enter")
    expect(button(page, "Remove job 0")).to_be_focused()
    page.keyboard.down("Enter")
    page.keyboard.up("Enter")
    expect(row(page, "job 0")).to_have_count(1)
    assert store.tree.member_count(root.id) == 1


def test_a_double_click_on_cancel_does_not_retry(port, visit, ada, store):
    job_in(store, Group.of(ada), "a job")
    page = visit(port)
    retry = button(page, "Retry a job")
    press_twice(page, button(page, "Cancel a job"), lambda: expect(retry).to_be_visible())
    page.mouse.move(5, 5)
    job_in(store, Group.of(ada), "later")
    expect(page.locator(".moi-name:visible")).to_have_text(["later", "a job"])
    expect(page.get_by_role("alert")).to_be_hidden()


# News for who looks elsewhere

RECORD = """
    window.told = [];
    window.Notification = class extends Notification {
        constructor(title, options) {
            super(title, options);
            window.told.push([title, options.body]);
        }
    };
"""


def hide(page, is_hidden):
    """Let a page believe that somebody looks at another one, or at it again."""
    page.evaluate(
        """isHidden => {
            Object.defineProperty(document, "hidden", { value: isHidden, configurable: true });
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        is_hidden,
    )


def end(store, job, seconds):
    """Let a job end that has run for so long."""
    run(store, job)
    ended = {"state": State.FAILED, "date_end": text_of(BEGUN + timedelta(seconds=seconds))}
    return store.jobs.change(job.id, lambda info: info.changed(status="Failed", **ended))


def test_the_end_of_long_jobs_is_told_to_who_looks_elsewhere(port, visit, ada, store):
    root = Group.of(ada)
    jobs = [job_in(store, root, f"job {number}") for number in range(6)]
    page = visit(
        port,
        "/?notify=30",
        permissions=["notifications"],
        prepare=lambda page: page.add_init_script(RECORD),
    )
    end(store, jobs[0], 100)
    expect(page.get_by_role("status")).to_have_text("job 0: Failed")
    hide(page, True)
    end(store, jobs[1], 29)
    end(store, jobs[2], 30)
    expect(page).to_have_title("(1) Jobs")
    end(store, jobs[3], 3000)
    expect(page).to_have_title("(2) Jobs")
    hide(page, False)
    expect(page).to_have_title("Jobs")
    assert page.evaluate("told") == []
    wish = button(page, "Notify me when a long job ends")
    expect(wish).to_have_attribute("aria-pressed", "false")
    wish.click()
    expect(wish).to_have_attribute("aria-pressed", "true")
    hide(page, True)
    end(store, jobs[4], 31)
    expect(page).to_have_title("(1) Jobs")
    assert page.evaluate("told") == [["job 4", "Failed"]]
    page.reload()
    expect(wish).to_have_attribute("aria-pressed", "true")
    wish.click()
    expect(wish).to_have_attribute("aria-pressed", "false")
    expect(page.locator("moi-jobs[live]")).to_be_visible()
    hide(page, True)
    end(store, jobs[5], 31)
    expect(page).to_have_title("(1) Jobs")
    assert page.evaluate("told") == []


def test_nobody_is_notified_who_has_not_asked_for_it(port, visit, ada, store):
    job = job_in(store, Group.of(ada), "a job")
    page = visit(port, permissions=["notifications"])
    expect(page.locator("[data-moi=notify]")).to_be_hidden()
    hide(page, True)
    end(store, job, 100_000)
    expect(page.get_by_role("status")).to_have_text("a job: Failed")
    assert page.title() == "Jobs"
    # Where the browser refuses, there is nothing to press.
    page = visit(port, "/?notify=30", prepare=lambda page: page.add_init_script(DENIED))
    expect(page.locator("[data-moi=notify]")).to_be_hidden()


DENIED = "Object.defineProperty(Notification, 'permission', { value: 'denied' });"


# Events


def test_events_tell_a_script_of_the_site(port, visit, ada, store):
    root = Group.of(ada)
    painted = job_in(store, root, "painted")
    page = visit(port, live=False, prepare=lambda page: page.add_init_script(LISTEN))
    expect(page.locator("moi-jobs[live]")).to_be_visible()
    group = Group.create(ada, "a group")
    job = job_in(store, group, "a job")
    expect(page.locator(".moi-name", has_text="a job")).to_be_visible()
    finish(store, job, result=[1, "two"])
    expect(row(page, "a job")).to_have_attribute("data-state", "success")
    store.tree.remove(group.id)
    expect(page.locator(".moi-item")).to_have_count(1)
    heard = page.evaluate("heard")
    assert heard[0] == ["moi:add", "painted", None, painted.id]
    assert ["moi:add", "a job", None, job.id] in heard
    assert ["moi:update", "a job", [1, "two"], job.id] in heard
    removed = [each[:2] for each in heard if each[0] == "moi:remove"]
    assert removed == [["moi:remove", "a job"], ["moi:remove", "a group"]]
    assert [each for each in heard if each[:2] == ["moi:update", "painted"]] == []


LISTEN = """
    window.heard = [];
    for (const name of ["moi:add", "moi:update", "moi:remove"])
        document.addEventListener(name, ({ type, detail, target }) =>
            window.heard.push([type, detail.name, detail.result, target.dataset.id]));
"""


def test_a_job_that_was_removed_on_the_page_is_gone(port, visit, ada, store):
    job = finish(store, job_in(store, Group.of(ada), "a job"))
    page = visit(port)
    button(page, "Remove a job").click()
    expect(page.locator(".moi-item")).to_have_count(0)
    with pytest.raises(Exception, match="There is no job"):
        Job.get(job.id)
