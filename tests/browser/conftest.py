"""Pages in a real Chromium, of a real server on a real Redis."""

import pytest
from django.contrib.auth import get_user_model
from playwright.sync_api import expect

from tests.helpers.groups import job, sweep  # noqa: F401 - fixtures


@pytest.fixture
def ada(moi, transactional_db):
    return get_user_model().objects.create_user("ada")


@pytest.fixture
def look(port, visit):
    """Open the page of a job."""

    def look(shown, **options):
        page = visit(port, f"/moi/jobs/{shown.id}/", live=False, **options)
        if options.get("java_script_enabled", True):
            expect(page.locator("moi-job[live]")).to_be_visible()
        return page

    return look
