"""Files of a job in its page."""

import json

from playwright.sync_api import expect

from moi_django import Group
from tests.helpers.records import job_in


def test_a_long_name_does_not_widen_the_page(port, visit, store, ada):
    job = job_in(store, Group.of(ada))
    noted = {"name": "n" * 200, "path": f"moi/{job.id}/x", "size": 1, "type": "text/plain"}
    store.artifacts.save_file(job.id, noted["name"], json.dumps(noted))
    page = visit(port, f"/moi/jobs/{job.id}/", viewport={"width": 390, "height": 800})
    expect(page.get_by_role("link", name="n" * 200)).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
