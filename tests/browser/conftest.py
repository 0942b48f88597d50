"""Pages in a real Chromium, of a real server on a real Redis."""

import pytest
from django.contrib.auth import get_user_model
from playwright.sync_api import expect

from moi_django import Group
from tests.helpers.groups import sweep  # noqa: F401 - a fixture
from tests.helpers.records import job_in


@pytest.fixture
def ada(moi, transactional_db):
    return get_user_model().objects.create_user("ada")


@pytest.fixture
def job(ada, store):
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
