"""Two server processes behind nginx, as docs/howto/deploy-recipes.md has them, started anew."""

import re
import subprocess
import sys
import threading
import urllib.request
from contextlib import ExitStack, contextmanager

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from moi_django import Group
from moi_django.contrib.services import parent_death
from tests.chaos import checks
from tests.chaos.pages import Page, watching
from tests.helpers.processes import ROOT, environment, free_port, wait_for
from tests.helpers.records import finish, job_in

pytestmark = pytest.mark.django_db(transaction=True)

PAGES, ROUNDS = 40, 2
# What stands round the recipe in a file of nginx for this machine.
NGINX = """
user root;
daemon off;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    {recipe}
}}
"""


def recipe(directory, port):
    """Return the recipe for nginx with paths and a port of a test, and without its certificate."""
    page = (ROOT / "docs/howto/deploy-recipes.md").read_text()
    [text] = re.findall(r"^```nginx\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    text = re.sub(r"^ *ssl_certificate.*\n", "", text, flags=re.MULTILINE)
    text = text.replace("listen 443 ssl", f"listen 127.0.0.1:{port}")
    return text.replace("/run/lab-web-", f"{directory}/").replace("/srv/lab", str(directory))


class Server:
    """One of the two: a process at a socket, in whose place another one can be put."""

    def __init__(self, socket, env):
        self._socket, self._env = socket, env
        socket.parent.mkdir()
        self.start()

    def start(self):
        """Start it and return when it answers."""
        command = [sys.executable, "-m", "uvicorn", "moi_django.asgi:development"]
        command += ["--uds", str(self._socket), "--lifespan=off", "--log-level=warning"]
        command += ["--ws=websockets-sansio", "--timeout-graceful-shutdown=10"]
        self._process = subprocess.Popen(
            parent_death.with_parent_death_signal(command), env=environment(**self._env)
        )
        wait_for(self._answers)

    def _answers(self):
        asked = ["curl", "-s", "-o", "/dev/null", "--unix-socket", self._socket, "http://lab/"]
        return not subprocess.run(asked).returncode

    def stop(self):
        """End it as a service manager does."""
        self._process.terminate()
        self._process.wait()


@contextmanager
def nginx(directory, port):
    file = directory / "nginx.conf"
    file.write_text(NGINX.format(directory=directory, recipe=recipe(directory, port)))
    process = subprocess.Popen(["nginx", "-c", str(file), "-p", str(directory)])
    try:
        wait_for(lambda: answer_of(port) == 200, "nginx")
        yield
    finally:
        process.terminate()
        process.wait()


def answer_of(port):
    """Return the status with which a page is answered; None while there is nobody."""
    try:
        return urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20).status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


class Load:
    """Jobs that come, change and end, and pages that are asked for, until it is stopped."""

    def __init__(self, store, root, port):
        self._store, self._root, self._port = store, root, port
        self._stop = threading.Event()
        self.answers, self.jobs = [], []
        self._threads = [
            threading.Thread(target=each) for each in (self._change_jobs, self._ask_for_pages)
        ]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _change_jobs(self):
        while not self._stop.wait(0.02):
            job = job_in(self._store, self._root, f"job {len(self.jobs)}")
            self.jobs.append(job.id)
            self._store.jobs.change(job.id, lambda info: info.changed(status="half"))
            if len(self.jobs) % 3:
                finish(self._store, job)

    def _ask_for_pages(self):
        while not self._stop.wait(0.02):
            self.answers.append(answer_of(self._port))


def test_a_rolling_restart_costs_no_page_and_no_update(site_env, store, tmp_path):
    user = get_user_model().objects.create_user("ada")
    root = Group.of(user)
    client = Client()
    client.force_login(user)
    cookie, port = client.cookies["sessionid"].value, free_port()
    pages = [Page(f"127.0.0.1:{port}", cookie, root.id) for _ in range(PAGES)]
    with ExitStack() as stack:
        servers = [Server(tmp_path / str(n) / "web.sock", site_env) for n in (1, 2)]
        for server in servers:
            stack.callback(server.stop)
        stack.enter_context(nginx(tmp_path, port))
        stack.enter_context(watching(pages))
        wait_for(lambda: all(page.snapshots for page in pages), "the pages")
        with Load(store, root, port) as load:
            for server in servers * ROUNDS:
                before = len(load.jobs)
                server.stop()
                server.start()
                wait_for(lambda before=before: len(load.jobs) > before + 20)
        # Each has lost its connection, once at least, and comes back.
        wait_for(lambda: all(page.snapshots >= 2 for page in pages), "the pages")
        checks.pages(pages)
    assert set(load.answers) == {200}
