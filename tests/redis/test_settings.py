"""How a site is set up, and how a wrong set-up is found."""

import json
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import redis
from django.core.checks import run_checks
from django.core.management import get_commands

from moi_django import state_dir
from moi_django.conf import DEFAULTS, conf
from moi_django.contrib.services.embedded_redis import (
    PREFIX,
    EmbeddedRedis,
    find_server,
    remove_stale,
)
from moi_django.contrib.services.service_state import lock_state_dir, write_services
from moi_django.exceptions import NotRunning, ServiceError, UnknownContext
from tests.helpers.processes import ROOT


def complaints():
    return {message.id: message for message in run_checks(tags=["moi"])}


def test_the_tests_own_site_is_well(moi):
    assert complaints() == {}


def test_every_setting_has_a_default_that_passes_its_check(moi):
    moi.update(DEFAULTS)
    assert complaints() == {}
    assert {name: getattr(conf, name) for name in DEFAULTS} == DEFAULTS


@pytest.mark.parametrize(
    ("given", "id", "words"),
    [
        ({"KEY_PREFX": ""}, "moi.E002", "Did you mean 'KEY_PREFIX'?"),
        ({"EXPIRE": "two weeks"}, "moi.E003", "1209600"),
        ({"TICK": "fast"}, "moi.E003", "0.05"),
        ({"TICK": True}, "moi.E003", "0.05"),
        ({"ON_COMMIT": 1}, "moi.E003", "True"),
        ({"EXPIRE": 1e6}, "moi.E003", "1209600"),
        ({"PAGE_ROWS": 2.5}, "moi.E003", "50"),
        ({"STATE_DIR": 5}, "moi.E003", "a path"),
        ({"WEBSOCKET_URL": 3}, "moi.E003", "a text"),
        ({"ANONYMOUS_USER": True}, "moi.E003", "a text"),
        ({"MEMORY_LIMIT": "2GB"}, "moi.E003", "a whole number of bytes"),
        ({"MEMORY_LIMIT": True}, "moi.E003", "a whole number of bytes"),
        ({"PRELOAD": "numpy"}, "moi.E003", "()"),
        ({"PRELOAD": [1]}, "moi.E003", "()"),
        ({"WORK_TURN": 0}, "moi.E008", "more than 0"),
        ({"EXPIRE": -5}, "moi.E008", "more than 0"),
        ({"LEASE": 0}, "moi.E008", "more than 0"),
        ({"SEND_TIMEOUT": float("nan")}, "moi.E008", "more than 0"),
        ({"TICK": -1}, "moi.E008", "0 or more"),
        ({"REDIS_URL": "localhost:6379"}, "moi.E004", "redis://localhost"),
        ({"REDIS_URL": "redis+sentinel://host:26379"}, "moi.E004", "host2:26379/name/0"),
        ({"AUTHORIZE": "nowhere.to_be_found"}, "moi.E005", "dotted path"),
        ({"LIMITS": {"a:b": 1}}, "moi.E026", "without ':'"),
        ({"LIMITS": {"a\n": 1}}, "moi.E026", "control characters"),
        ({"LIMITS": {"": 1}}, "moi.E026", "Give a name"),
        ({"LIMITS": {"matlab": -1}}, "moi.E026", "a whole number from 0 on"),
        ({"LIMITS": {"matlab": True}}, "moi.E026", "a whole number from 0 on"),
        ({"LIMITS": {"matlab": 1.5}}, "moi.E026", "a whole number from 0 on"),
        ({"OWNER_LIMIT": -1}, "moi.E027", "a whole number from 0 on"),
        ({"OWNER_LIMIT": 2.5}, "moi.E027", "a whole number from 0 on"),
        ({"OWNER_LIMIT": "nowhere.to_be_found"}, "moi.E027", "dotted path"),
        ({"OWNER_LIMIT": "moi_django.conf.NO_USER"}, "moi.E027", "dotted path"),
        ({"REQUEST_ID": "nowhere.to_be_found"}, "moi.E031", "a ContextVar"),
        ({"REQUEST_ID": "moi_django.conf.NO_USER"}, "moi.E031", "a ContextVar"),
        ({"CHANNEL_LAYER": "other"}, "moi.E006", "CHANNEL_LAYERS = "),
        ({"CONTEXTS": {"default": {"profle": "x"}}}, "moi.E007", "profile_dir"),
        ({"CONTEXTS": {"default": {}, "gpu": {}}}, "moi.E007", "connection_file"),
        ({"CONTEXTS": {"default": {"BACKEND": "celery"}}}, "moi.E007", "celery"),
        ({"CONTEXTS": {"gpu": {"profile": "gpu"}}}, "moi.W005", "ctx_default"),
    ],
)
def test_a_wrong_setting_is_found_and_says_what_to_do(moi, given, id, words):
    moi.update(given)
    [message] = complaints().values()
    assert (message.id, words in message.hint) == (id, True)


def test_what_the_site_lacks_is_found(moi, settings):
    settings.ASGI_APPLICATION = None
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channels_redis.core.RedisChannelLayer"}}
    settings.INSTALLED_APPS = ["moi_django"]
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "OPTIONS": {}}]
    found = complaints()
    assert found.keys() == {f"moi.W00{number}" for number in (1, 2, 3, 4, 8)}
    assert all(message.hint for message in found.values())


def test_what_makes_sense_is_not_complained_of(moi):
    moi.update(TICK=0, LEASE=1, RESULT_PATIENCE=float("inf"), VERBS_PER_SECOND=0.5)
    moi.update(STATE_DIR=Path("x"), WEBSOCKET_URL="/ws/", ANONYMOUS_USER="guest")
    moi.update(LIMITS={"mat lab": 0, "gpu-1": 5}, OWNER_LIMIT=0)
    assert complaints() == {}
    moi.update(OWNER_LIMIT="tests.site.work.hello", LIMITS={})
    assert complaints() == {}
    moi.update(OWNER_LIMIT=lambda owner, context: 3)
    moi.update(PRELOAD=["numpy", "pandas"], MEMORY_LIMIT=10**9, LINGER=0, WORK_TURN=60)
    assert complaints() == {}


@pytest.mark.parametrize(
    ("setting", "value", "id", "words"),
    [
        ("ASGI_APPLICATION", "tests.site.applications.plain", "moi.W006", "moi_django.asgi"),
        (
            "ASGI_APPLICATION",
            "tests.site.applications.without",
            "moi.W006",
            "websocket_urlpatterns",
        ),
        ("ASGI_APPLICATION", "tests.site.nowhere.application", "moi.E009", "moi_django.asgi"),
        ("ASGI_APPLICATION", "tests.site.applications.missing", "moi.E009", "moi_django.asgi"),
        ("ASGI_APPLICATION", 7, "moi.E009", "moi_django.asgi"),
        ("CHANNEL_LAYERS", {"default": {"BACKEND": "x.Layer"}}, "moi.E009", "MoiChannelLayer"),
        ("CHANNEL_LAYERS", {"default": {}}, "moi.E009", "MoiChannelLayer"),
        ("STATIC_URL", None, "moi.W008", "STATIC_URL"),
    ],
)
def test_a_site_that_cannot_be_live_is_found(moi, settings, setting, value, id, words):
    setattr(settings, setting, value)
    [message] = complaints().values()
    assert (message.id, words in message.hint) == (id, True)


@pytest.fixture
def daphne(tmp_path, monkeypatch):
    """Make a package of that name, which is forgotten after the test; return where it is."""
    directory = tmp_path / "daphne"
    directory.mkdir()
    (directory / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    yield directory
    for name in [name for name in sys.modules if name.partition(".")[0] == "daphne"]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("command", "app", "found"),
    [
        ("runserver", None, {"moi.I031"}),
        ("check", None, {"moi.I031"}),
        ("migrate", None, set()),
        ("runserver", "moi_django.contrib.runserver", set()),
        ("runserver", "daphne", set()),
    ],
)
def test_a_runserver_without_websockets_says_so(
    moi, settings, monkeypatch, daphne, command, app, found
):
    commands = daphne / "management" / "commands"
    commands.mkdir(parents=True)
    # As daphne's: the server is none of WSGI.
    (commands / "runserver.py").write_text(
        "from django.core.management.commands.runserver import Command as WSGI\n"
        "class Command(WSGI):\n    server_cls = dict\n"
    )
    monkeypatch.setattr(sys, "argv", ["manage.py", command])
    get_commands.cache_clear()
    settings.DEBUG = True
    settings.INSTALLED_APPS = [*filter(None, [app]), *settings.INSTALLED_APPS]
    get_commands.cache_clear()
    assert complaints().keys() == found
    settings.DEBUG = False
    assert complaints() == {}
    get_commands.cache_clear()


def test_an_application_of_the_site_is_well(moi, settings):
    settings.ASGI_APPLICATION = "tests.site.applications.own"
    assert complaints() == {}


@pytest.mark.parametrize(
    "missing",
    [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
)
def test_a_site_without_the_middleware_of_a_login_is_found(moi, settings, missing):
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if name != missing]
    [message] = complaints().values()
    assert (message.id, missing in message.msg) == ("moi.W007", True)


def test_a_site_whose_jobs_have_no_page_is_told(moi, settings):
    settings.ROOT_URLCONF = "tests.site.bare_urls"
    [message] = complaints().values()
    assert (message.id, "moi_django.urls" in message.hint) == ("moi.I032", True)


def test_a_site_without_static_files_is_found(moi, settings):
    settings.INSTALLED_APPS = [
        name for name in settings.INSTALLED_APPS if "staticfiles" not in name
    ]
    [message] = complaints().values()
    assert message.id == "moi.W008"


@pytest.mark.parametrize(
    ("frame", "is_found"),
    [
        ("<head></head>{% block content %}{% endblock %}", True),
        ('{% extends "site.html" %}', True),
        ('{% extends "moi_django/base.html" %}', False),  # ours, which this one covers
        ("{% load moi %}<head>{% if user %}{% moi_assets %}{% endif %}</head>", False),
        ('<head>{% include "head.html" %}</head>', False),
        # Nobody knows what these are.
        ("{% extends frame %}", False),
        ("<head>{% include head %}</head>", False),
        # The page itself says what is wrong.
        ("{% nonsense %}", False),
        ('{% extends "nowhere.html" %}', False),
    ],
)
def test_a_frame_without_the_script_is_found(moi, settings, tmp_path, frame, is_found):
    (tmp_path / "moi_django").mkdir()
    (tmp_path / "moi_django" / "base.html").write_text(frame)
    (tmp_path / "site.html").write_text('<head></head>{% include "site.html" %}')
    (tmp_path / "head.html").write_text("{% load moi %}{% moi_assets %}")
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]
    found = complaints()
    assert found.keys() == ({"moi.W009"} if is_found else set())
    assert all("<head>" in message.hint for message in found.values())


def deploy_complaints():
    messages = run_checks(tags=["moi"], include_deployment_checks=True)
    assert all(message.hint for message in messages)
    # The server of the tests keeps nothing.
    return {message.id for message in messages} - {"moi.W019"}


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("redis://:secret@127.0.0.1:6379/0", set()),
        ("redis://localhost:6379/0", {"moi.W011"}),
        ("redis://:secret@redis.example.org/0", {"moi.W010"}),
        ("redis://redis.example.org/0", {"moi.W010", "moi.W011"}),
        ("rediss://:secret@redis.example.org/0", set()),
        ("unix:///run/redis.sock", set()),
    ],
)
def test_an_open_redis_is_found_before_it_is_deployed(moi, url, found):
    moi["REDIS_URL"] = url
    assert deploy_complaints() == found
    assert complaints() == {}


@pytest.mark.parametrize(
    ("said", "mode", "found"),
    [
        ({"interface": "tcp://127.0.0.1", "key": "k", "curve_serverkey": None}, 0o600, set()),
        ({"interface": "tcp://127.0.0.1", "key": "k"}, 0o644, {"moi.W012"}),
        ({"interface": "tcp://*", "key": "k"}, 0o600, {"moi.W013"}),
        ({"interface": "tcp://10.0.0.1", "key": "k"}, 0o640, {"moi.W012", "moi.W013"}),
        ({"interface": "tcp://10.0.0.1", "key": "", "curve_serverkey": "k"}, 0o600, set()),
        ({"interface": "tcp://127.0.0.1", "key": ""}, 0o600, {"moi.W014"}),
        ({"interface": "tcp://10.0.0.1"}, 0o600, {"moi.W013", "moi.W014"}),
        (None, 0o600, set()),
    ],
)
def test_an_open_cluster_is_found_before_it_is_deployed(moi, tmp_path, said, mode, found):
    file = tmp_path / "client.json"
    if said is not None:
        file.write_text(json.dumps(said))
        file.chmod(mode)
    moi["CONTEXTS"] = {"default": {"connection_file": str(file)}}
    assert deploy_complaints() == found
    assert complaints() == {}


SECRET = "zF3v9qX_w7Rk2LmN8pTc5YdHs1BgJ4uA6eVoQxKiWyZ0nMrP"


@pytest.mark.parametrize(
    ("key", "old", "found"),
    [
        (SECRET * 2, [], set()),
        (SECRET.encode() * 2, [SECRET * 2], set()),
        (f"django-insecure-{SECRET}", [], {"moi.W015"}),
        (SECRET[:49], [], {"moi.W015"}),
        ("abcd" * 20, [], {"moi.W015"}),
        (SECRET * 2, ["old"], {"moi.W015"}),
    ],
)
def test_a_key_that_can_be_guessed_is_found_before_it_is_deployed(moi, settings, key, old, found):
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = key, old
    assert deploy_complaints() == found
    assert complaints() == {}


def test_a_redis_that_forgets_is_found_before_it_is_deployed(own_redis, moi):
    def found():
        return {each.id for each in run_checks(tags=["moi"], include_deployment_checks=True)}

    def configure(name, value):
        with redis.Redis.from_url(own_redis.url) as client:
            client.config_set(name, value)

    configure("appendonly", "no")
    assert found() == {"moi.W019"}
    configure("save", "60 1")
    assert found() == set()
    configure("save", "")
    configure("appendonly", "yes")
    assert found() == set()
    configure("maxmemory-policy", "allkeys-lru")
    assert found() == set()  # it is never full
    configure("maxmemory", "100mb")
    assert found() == {"moi.W018"}
    own_redis.kill()
    assert found() == set()


def test_daphne_is_found_before_it_is_deployed(moi, settings, daphne):
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "daphne"]
    assert deploy_complaints() == {"moi.W017"}


def test_moi_must_be_a_dict(settings):
    settings.MOI = "redis://localhost"
    assert complaints().keys() == {"moi.E001"}


def test_redis_is_the_one_of_the_settings_then_of_the_environment_then_of_moi_up(moi, monkeypatch):
    moi["REDIS_URL"] = "redis://settings"
    monkeypatch.setenv("MOI_REDIS_URL", "redis://environment")
    assert conf.redis_url == "redis://settings"
    moi["REDIS_URL"] = None
    assert conf.redis_url == "redis://environment"
    monkeypatch.delenv("MOI_REDIS_URL")
    with pytest.raises(NotRunning, match=r"manage\.py moi up"):
        _ = conf.redis_url
    with lock_state_dir(conf.state_dir):
        write_services(conf.state_dir, state_dir.RunningServices("redis://up", "/c.json"))
        assert conf.redis_url == conf.engine_redis_url == "redis://up"
        assert conf.context("default") == {"connection_file": "/c.json"}
    with pytest.raises(NotRunning):
        _ = conf.redis_url


def test_contexts_are_those_of_the_settings(moi, monkeypatch):
    moi["CONTEXTS"] = {"gpu": {"profile": "gpu"}, "default": {}}
    assert conf.context("gpu") == {"profile": "gpu"}
    assert conf.context("default") == {"profile": "default"}
    monkeypatch.setenv("MOI_CONNECTION_FILE", "/x.json")
    assert conf.context("default") == {"connection_file": "/x.json"}
    with pytest.raises(UnknownContext, match=r"^Unknown context: tpu\. There are: "):
        conf.context("tpu")
    with pytest.raises(AttributeError, match="NONSENSE"):
        _ = conf.NONSENSE


def test_the_state_of_moi_up_is_private_and_gone_with_it(tmp_path):
    directory = tmp_path / "state"
    assert state_dir.read_services(directory) is None
    services = state_dir.RunningServices("redis://:secret@x")
    with lock_state_dir(directory):
        assert state_dir.read_services(directory) is None  # not ready yet
        write_services(directory, services)
        assert state_dir.read_services(directory) == services
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert stat.S_IMODE((directory / "services.json").stat().st_mode) == 0o600
        with pytest.raises(ServiceError, match="already runs"), lock_state_dir(directory):
            pass
        assert state_dir.read_services(directory) == services
    assert state_dir.read_services(directory) is None


def test_what_a_killed_moi_up_has_left_is_not_believed(tmp_path):
    with lock_state_dir(tmp_path):
        write_services(tmp_path, state_dir.RunningServices("redis://gone"))
        left = (tmp_path / "services.json").read_text()
    (tmp_path / "services.json").write_text(left)
    assert state_dir.read_services(tmp_path) is None


def test_an_embedded_redis_is_private_and_leaves_nothing():
    with EmbeddedRedis() as server:
        directory = server._directory
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert server.version().split()[0] in ("Valkey", "Redis")
        password = server.url.split(":")[2].split("@")[0]
        with open(f"/proc/{server.process.pid}/cmdline") as command:
            assert password not in command.read()
        assert not [
            file for file in directory.iterdir() if file.is_file() and password in file.read_text()
        ]
    assert not directory.exists()
    assert server.process.poll() is not None


def test_what_a_killed_starter_has_left_is_removed_and_nothing_else():
    code = """
import os, signal
from moi_django.contrib.services.embedded_redis import EmbeddedRedis
server = EmbeddedRedis().start()
print(server._directory, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    left = Path(ran.stdout.strip())
    with EmbeddedRedis() as server, tempfile.TemporaryDirectory(prefix=PREFIX) as foreign:
        assert left.is_dir()
        remove_stale()
        assert not left.exists()
        assert server._directory.is_dir() and Path(foreign).is_dir()
        server.version()


def test_a_server_program_can_be_named(monkeypatch, tmp_path):
    found = find_server()
    assert os.access(found, os.X_OK)
    monkeypatch.setenv("MOI_REDIS_SERVER", str(tmp_path / "mine"))
    assert find_server() == tmp_path / "mine"
    broken = tmp_path / "mine"
    broken.write_text("#!/bin/sh\necho cannot >&2\nexit 3\n")
    broken.chmod(0o700)
    with pytest.raises(ServiceError, match="did not start"):
        EmbeddedRedis().start()
    assert subprocess.run([found, "--version"]).returncode == 0
