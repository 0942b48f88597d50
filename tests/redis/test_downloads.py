"""Large files are sent piece by piece, by both kinds of server."""

import re
import urllib.request
from email.message import Message
from html import unescape

import psutil
import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils.html import escape

from moi_django import Group
from moi_django.contrib.attachments.site_storage import get_attachment_storage
from moi_django.store.logs import OutputPiece
from tests.helpers.names import ODD_NAMES
from tests.helpers.processes import free_port, site_process
from tests.helpers.records import job_in

pytestmark = pytest.mark.django_db(transaction=True)
SIZE = 60_000_000


@pytest.fixture
def client(moi):
    client = Client()
    client.force_login(get_user_model().objects.create_user("ada"))
    return client


@pytest.fixture
def job(client, store):
    return job_in(store, Group.of(get_user_model().objects.get()), "a job")


def test_a_server_does_not_hold_what_it_sends(client, job, store, site_env):
    get_attachment_storage().save(store, job.id, "large.bin", b"x" * SIZE)
    store.logs.open(job.id).append([OutputPiece("stdout", "said\n" * 400_000)], SIZE)
    session = client.cookies["sessionid"].value
    port = free_port()
    with site_process(port, **site_env) as server:

        def fetch(path):
            request = urllib.request.Request(f"http://127.0.0.1:{port}/moi/jobs/{job.id}/{path}")
            request.add_header("Cookie", f"sessionid={session}")
            with urllib.request.urlopen(request) as response:
                size = sum(len(part) for part in iter(lambda: response.read(100_000), b""))
                return size, response.headers["Content-Length"]

        assert fetch("output.txt") == (2_000_000, None)
        before = psutil.Process(server.pid).memory_info().rss
        assert fetch("files/large.bin") == (SIZE, str(SIZE))
        assert psutil.Process(server.pid).memory_info().rss - before < SIZE / 3


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_file_is_listed_and_downloaded_under_its_name(client, job, store, name):
    get_attachment_storage().save(store, job.id, name, name.encode())
    page = client.get(f"/moi/jobs/{job.id}/").content.decode()
    assert escape(name) in page
    [link] = re.findall(f'href="(/moi/jobs/{job.id}/files/[^"]+)"', page)
    file = client.get(unescape(link))
    assert b"".join(file.streaming_content) == name.encode()
    header = Message()
    header["Content-Disposition"] = file["Content-Disposition"]
    assert header.get_filename().replace('\\"', '"') == name


def test_a_server_without_asyncio_sends_it_too(client, job, store):
    get_attachment_storage().save(store, job.id, "large.bin", b"x" * 1_000_000)
    store.logs.open(job.id).append([OutputPiece("stdout", "said\n" * 100_000)], SIZE)
    file = client.get(f"/moi/jobs/{job.id}/files/large.bin")
    assert len(b"".join(file.streaming_content)) == 1_000_000
    parts = list(client.get(f"/moi/jobs/{job.id}/output.txt").streaming_content)
    assert b"".join(parts) == b"said\n" * 100_000
    assert len(parts) > 3
