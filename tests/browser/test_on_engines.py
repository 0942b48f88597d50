"""Jobs that run on real engines while a real browser shows them."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from moi_django import Group, Job, ctx_default, submit
from tests.helpers.pages import row
from tests.helpers.processes import free_port, site_process
from tests.site import work

pytestmark = pytest.mark.django_db(transaction=True)


def _button(page, name):
    return page.get_by_role("button", name=name, exact=True)


def test_a_job_is_watched_from_submit_to_result(port, visit, cluster, ada, tmp_path):
    page = visit(port)
    expect(page.get_by_text("No jobs yet.")).to_be_visible()
    gate = tmp_path / "gate"
    job = submit(ctx_default, ada, "The hello job", "/result", work.held_until, str(gate))
    shown = row(page, "The hello job")
    expect(shown.locator("[data-moi=status]")).to_have_text("holding")
    expect(shown).to_have_attribute("data-state", "running")
    expect(page.get_by_text("No jobs yet.")).to_be_hidden()
    link = shown.get_by_role("link", name="The hello job", exact=True)
    expect(link).to_have_attribute("href", f"/moi/jobs/{job.id}/")
    gate.touch()
    expect(page.get_by_role("status")).to_have_text("The hello job: Success")
    link.click()
    expect(page.locator("body")).to_have_text(f"The result of {job.id}")
    page.go_back()
    row(page, "The hello job").get_by_role("button", name="Remove The hello job").click()
    expect(page.locator(".moi-item")).to_have_count(0)
    expect(page.get_by_text("No jobs yet.")).to_be_visible()
    with pytest.raises(Exception, match="There is no job"):
        Job.get(job.id)


def test_a_job_is_watched_on_its_own_page(look, cluster, ada, tmp_path):
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


def test_what_failed_is_retried_by_a_button(visit, cluster, site_env, ada, store, tmp_path):
    alone = submit(ctx_default, ada, "alone", None, work.fails_until, str(tmp_path / "alone"), 1)
    group = Group.create(ada, "a sweep")
    for name in ("one", "two"):
        submit(ctx_default, group, name, None, work.fails_until, str(tmp_path / name), 1)
    port = free_port()
    with site_process(port, **site_env, MOI_CONNECTION_FILE=cluster):
        _retry(visit(port), store, alone.id)


def _retry(page, store, id):
    expect(page.locator("[data-state=failed]")).to_have_count(3)
    _button(page, "Retry alone").press("Enter")
    old = page.locator(".moi-item[data-retried]", has_text="alone")
    expect(old.locator(".moi-status")).to_contain_text("Failed · retried", use_inner_text=True)
    expect(old.get_by_role("button", name="Retry")).to_be_hidden()
    expect(old.get_by_role("button", name="Remove")).to_be_focused()
    # The keyboard is in the list, so the new row waits as any other.
    _button(page, "1 new job").click()
    expect(page.locator(".moi-item[data-state=success]", has_text="alone")).to_be_visible()
    assert store.jobs.get(id).retried
    _button(page, "Retry failed a sweep").click()
    counts = row(page, "a sweep").locator("> .moi-row .moi-counts")
    expect(counts).to_have_text("2 succeeded", use_inner_text=True)
    expect(_button(page, "Retry failed a sweep")).to_be_hidden()
    # Which the group may say before each of the jobs does.
    expect(page.locator(".moi-item[data-state=success]")).to_have_count(3)
    looks = page.locator("moi-jobs > ol").inner_text()
    page.reload()
    expect(page.locator("moi-jobs[live]")).to_be_visible()
    assert page.locator("moi-jobs > ol").inner_text() == looks
    page.close()
