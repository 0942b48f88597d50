"""The tests of a site touch neither its Redis nor its clusters."""

import subprocess
import sys

import pytest

from moi_django.contrib.services.embedded_redis import EmbeddedRedis
from moi_django.site_store import get_store
from tests.helpers.processes import ROOT, environment
from tests.helpers.records import job_in, new_group

SETTINGS = """
SECRET_KEY = "x" * 60
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "moi_django", "lab"]
DATABASES = {{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
CHANNEL_LAYERS = {{"default": {{"BACKEND": "moi_django.layers.MoiChannelLayer"}}}}
MOI = {{
    "REDIS_URL": {url!r}, "KEY_PREFIX": "live-", "ENGINE_REDIS_URL": {url!r},
    "CONTEXTS": {{"default": {{"connection_file": "/live/cluster.json"}}}},
}}
"""
TESTS = """
import logging
from django.contrib.auth.models import User
from django.test import TestCase
from moi_django import Group, ctx_default, submit
from moi_django.conf import conf

class JobTests(TestCase):
    def test_a_user_finds_nothing_of_others(self):
        user = User.objects.create_user("ada")
        assert user.pk == 1
        assert Group.of(user).jobs() == []
        assert conf.configured_redis_url is None

    def test_what_is_submitted_waits(self):
        user = User.objects.create_user("ada")
        with self.assertLogs("moi_django", logging.WARNING) as said:
            with self.captureOnCommitCallbacks(execute=True):
                job = submit(ctx_default, user, "a job", None, abs, -1)
        assert "Under a test runner no cluster is used." in said.output[0]
        assert job.refresh().status == "Queued"
        job.remove()
"""


@pytest.fixture
def live():
    """The Redis of a site, with a job of the user with the primary key 1."""
    with EmbeddedRedis() as server:
        yield server


@pytest.mark.parametrize(
    "command",
    [
        ["django", "test", "lab"],
        ["django", "test", "lab", "--parallel=2"],
        ["pytest", "-q", "-p", "no:cacheprovider", "--ds=live_settings", "lab/tests.py"],
    ],
    ids=["Django", "Django, in parallel", "pytest"],
)
def test_the_configured_redis_is_not_touched(live, moi, tmp_path, command):
    moi.update(REDIS_URL=live.url, KEY_PREFIX="live-")
    store = get_store()
    job_in_root(store)
    before = contents(store)
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "__init__.py").touch()
    (tmp_path / "lab" / "tests.py").write_text(TESTS)
    (tmp_path / "live_settings.py").write_text(SETTINGS.format(url=live.url))
    paths = {"DJANGO_SETTINGS_MODULE": "live_settings", "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    given = environment(MOI_REDIS_URL=live.url, **paths)
    ran = subprocess.run(
        [sys.executable, "-m", *command], cwd=tmp_path, env=given, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "2 passed" in ran.stdout or "Ran 2 tests" in ran.stderr
    assert contents(store) == before


def job_in_root(store):
    root = store.users.enrol("user:1", new_group)
    job_in(store, type("Held", (), {"info": root}), "a real one")


def contents(store):
    redis = store.connection.redis
    return {key: redis.dump(key) for key in redis.keys("*")}
