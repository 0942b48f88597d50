"""The script and the style, as sites serve them: under strict policies and with hashed names."""

import json

import pytest
from django.contrib.auth import get_user_model
from playwright.sync_api import expect

from moi_django import Group
from tests.helpers.pages import row
from tests.helpers.processes import free_port, manage, site_process
from tests.helpers.records import finish, job_in

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def ada(moi, transactional_db):
    return get_user_model().objects.create_user("ada", is_superuser=True, is_staff=True)


def test_scripts_run_where_only_those_with_a_nonce_may(port, visit, ada, store):
    job = job_in(store, Group.of(ada), "a job")
    page = visit(port, "/?nonce")
    finish(store, job)
    expect(row(page, "a job")).to_contain_text("Success")


@pytest.fixture
def hashed_port(site_env, transactional_db, tmp_path):
    """The port of a site whose static files have a hash in their names, and no other names."""
    port = free_port()
    env = {
        **site_env,
        "MOI_TEST_HASHED": str(tmp_path),
        "MOI_TEST_STATIC_URL": f"http://127.0.0.1:{port}/hashed/",
    }
    manage("collectstatic", "--no-input", **env).check_returncode()
    for name in json.loads((tmp_path / "staticfiles.json").read_text())["paths"]:
        (tmp_path / name).unlink()
    with site_process(port, **env):
        yield port


def test_scripts_find_each_other_by_hashed_names(hashed_port, visit, ada, store):
    job = job_in(store, Group.of(ada), "a job")
    # The pages load one style by its plain name.
    page = visit(hashed_port, quiet=True)
    finish(store, job)
    expect(row(page, "a job")).to_contain_text("Success")
    for path, element in (
        (f"/moi/jobs/{job.id}/", "moi-job"),
        ("/admin/moi_django/alljobs/", "moi-panel"),
    ):
        page.goto(f"http://127.0.0.1:{hashed_port}{path}")
        expect(page.locator(f"{element}[live]")).to_be_visible()
