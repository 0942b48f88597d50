"""Files of a job in its page."""

import json
import os
import time
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.core.files.storage import default_storage
from playwright.sync_api import expect

from moi_django import Group
from moi_django.cluster import dispatch
from moi_django.engine.attachments import FOLDER, attachments_of
from tests.helpers.records import job_in

DAY = 86_400.0


@pytest.fixture(autouse=True)
def media(settings, tmp_path):
    """A storage of the test's own."""
    settings.MEDIA_ROOT = str(tmp_path / "media")


@pytest.fixture
def ada(moi, transactional_db):
    return get_user_model().objects.create_user("ada")


@pytest.fixture
def job(store, db):
    return job_in(store, Group.of("a"))


def kept(store, job):
    """Return what is kept of each file of a job; and how many files there are."""
    attachment_storage, texts = dispatch.get_attachment_storage(), {}
    for name, attached in attachments_of(store, job.id).items():
        with attachment_storage.open_file(attached) as file:
            texts[name] = file.read()
    return texts, len(default_storage.listdir(f"{FOLDER}/{job.id}")[1])


def file_in(folder, age):
    """Put a file of some seconds of age into a folder of ours; return its path."""
    path = default_storage.path(f"{FOLDER}/{folder}/file.txt")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    Path(path).touch()
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_a_long_name_does_not_widen_the_page(port, visit, store, ada):
    job = job_in(store, Group.of(ada))
    noted = {"name": "n" * 200, "path": "x", "size": 1, "type": "text/plain"}
    store.artifacts.save_file(job.id, noted["name"], json.dumps(noted))
    page = visit(port, f"/moi/jobs/{job.id}/", viewport={"width": 390, "height": 800})
    expect(page.get_by_role("link", name="n" * 200)).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
