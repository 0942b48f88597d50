"""The clients of the websocket that the docs show, run against a real server."""

import re
import subprocess
import sys

import pytest
from django.contrib.auth import get_user_model
from playwright.sync_api import expect

from moi_django import Group, Job
from tests.helpers.processes import ROOT
from tests.helpers.records import job_in

PAGE = (ROOT / "docs/howto/websocket-client.md").read_text()


def code(language):
    [found] = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return found


@pytest.fixture
def ada(moi, transactional_db):
    return get_user_model().objects.create_superuser("ada", password="lovelace1815")


@pytest.fixture
def root(ada):
    return Group.of(ada)


def say(store, job, text):
    store.jobs.change(job.id, lambda info: info.changed(status=text))


def test_the_client_in_python_hears_of_its_jobs(port, root, store, tmp_path):
    first = job_in(store, root, "first")
    file = tmp_path / "client.py"
    file.write_text(code("python"))
    client = subprocess.Popen(
        [sys.executable, str(file), f"http://127.0.0.1:{port}", "ada", "lovelace1815"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        heard = iter(client.stdout.readline, "")
        assert next(line for line in heard if line.startswith("first")) == (
            "first | queued | Queued\n"
        )
        say(store, first, "Weighing")
        assert next(heard) == "first | queued | Weighing\n"
        job_in(store, root, "second")
        assert next(heard) == "second | queued | Queued\n"
    finally:
        client.terminate()
        client.communicate()


def test_the_client_in_python_ends_when_nobody_is_logged_in(port, root, tmp_path):
    file = tmp_path / "client.py"
    file.write_text(code("python"))
    command = [sys.executable, str(file), f"http://127.0.0.1:{port}", "ada", "wrong"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert "closed: 4401" in ended.stderr


def test_the_client_in_javascript_hears_of_its_jobs(port, root, store, visit):
    first = job_in(store, root, "first")
    page = visit(port, "/admin/", live=False)
    page.set_content('<ul id="jobs"></ul>')
    page.evaluate(code("js"))
    lines = page.locator("#jobs li")
    expect(lines.filter(has_text="first")).to_have_text("first: Queued")
    say(store, first, "<b>Weighing</b>")
    expect(lines.filter(has_text="first")).to_have_text("first: <b>Weighing</b>")
    job_in(store, root, "second")
    expect(lines.filter(has_text="second")).to_have_text("second: Queued")
    Job.get(first.id).remove()
    expect(lines.filter(has_text="first")).to_have_count(0)
