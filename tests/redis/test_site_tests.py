"""The tests of a site touch neither its Redis nor its clusters, whatever its settings say."""

import socket
import threading
from contextlib import contextmanager

import pytest

from tests.helpers.site_project import PLUGIN, make_project, run

SETTINGS = """
INSTALLED_APPS = [
    "letters.apps.EarlyConfig" if app == "letters" else app for app in INSTALLED_APPS
]
CHANNEL_LAYERS["default"]["CONFIG"] = {{"hosts": ["{url}"]}}
MOI = {{
    "REDIS_URL": "{url}", "ENGINE_REDIS_URL": "{url}", "KEY_PREFIX": "live-",
    "CONTEXTS": {{"default": {{"connection_file": "/live/cluster.json"}}}},
}}
"""
APP = """
from django.apps import AppConfig

class EarlyConfig(AppConfig):
    name = "letters"

    def ready(self):
        from moi_django.site_store import get_store
        assert get_store().jobs.get("an id") is None  # before any test runner has begun
"""
TESTS = """
import subprocess
import sys
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import TestCase, override_settings
from moi_django import Group, asubmit, ctx_default, submit
from moi_django.conf import conf
from moi_django.store import Store, StoreConfig
from moi_django.test import MoiPage, MoiTestCase, MoiTransactionTestCase

class JobTests(MoiTestCase):
    def test_a_user_finds_nothing_of_others(self):
        user = User.objects.create_user("ada")
        assert user.pk == 1
        assert Group.of(user).jobs() == []
        assert conf.configured_redis_url is None

    def test_what_is_submitted_has_run(self):
        with self.captureOnCommitCallbacks(execute=True):
            job = submit(ctx_default, User.objects.create_user("ada"), "A job", None, abs, -1)
        assert job.value() == 1
        self.assert_submitted(abs, times=1)

    def test_other_settings_change_nothing(self):
        with override_settings(MOI={**settings.MOI, "ON_COMMIT": False}):
            assert submit(ctx_default, "bob", "A job", None, abs, -1).value() == 1
        Store(StoreConfig(conf.engine_redis_url)).connection.redis.ping()

class PlainTests(TestCase):
    def test_any_test_case_is_safe(self):
        with self.captureOnCommitCallbacks(execute=True):
            job = submit(ctx_default, "bob", "A job", None, abs, -1)
        assert job.value() == 1

class ProcessTests(TestCase):
    def test_what_a_test_starts_is_as_safe(self):
        program = "from letters.work import find_jobs; print(find_jobs())"
        found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        assert found.stdout == "[]\\n", found.stderr

    def test_services_do_not_start(self):
        with self.assertRaisesMessage(CommandError, "does not run in tests"):
            call_command("moi", "up")

class PageTests(MoiTransactionTestCase):
    async def test_the_channel_layer_is_another_one(self):
        ada = await User.objects.acreate(username="ada")
        async with MoiPage(ada) as page:
            job = await asubmit(ctx_default, ada, "A job", None, abs, -1)
            await page.wait_for(job, within=30, state="success")
"""
WORK = """
def find_jobs():
    import django
    django.setup()
    from moi_django.site_store import get_store
    return get_store().jobs.get_many([])
"""
VIEWS = "def count(request): ..."
COUNT = 7


@contextmanager
def counting_server():
    """Give a port, and a list with an entry for each connection to it."""
    connections = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept():
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                connections.append(connection)
                connection.close()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        port = server.getsockname()[1]
        yield port, connections
        # One that is there is counted.
        before = len(connections)
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.recv(1)
        assert len(connections) == before + 1
        server.shutdown(socket.SHUT_RDWR)
    thread.join()


RUNNING = """
import sys
import django
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.test.utils import get_runner, setup_test_environment
from moi_django.conf import conf

django.setup()
EmailBackend()
assert mail.outbox == []
assert not conf.is_isolated
setup_test_environment()
assert conf.is_isolated
"""


def test_a_site_that_keeps_its_mails_in_memory_is_no_test(tmp_path):
    make_project(tmp_path, {"letters/views.py": VIEWS})
    run(tmp_path, "-c", RUNNING, DJANGO_SETTINGS_MODULE="lab.settings")


@pytest.mark.parametrize(
    "command",
    [
        ["manage.py", "test"],
        ["manage.py", "test", "--parallel=2"],
        ["-m", "pytest", "-q", *PLUGIN],
    ],
    ids=["Django", "Django, in parallel", "pytest"],
)
def test_the_redis_of_the_site_is_not_touched(tmp_path, command):
    with counting_server() as (port, connections):
        url = f"redis://127.0.0.1:{port}/0"
        files = {
            "letters/apps.py": APP,
            "letters/tests.py": TESTS,
            "letters/views.py": VIEWS,
            "letters/work.py": WORK,
        }
        make_project(tmp_path, files, SETTINGS.format(url=url))
        said = run(tmp_path, *command, MOI_REDIS_URL=url)
        assert f"Ran {COUNT} tests" in said or f"{COUNT} passed" in said
        assert connections == []
