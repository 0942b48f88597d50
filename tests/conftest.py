"""Real services for the tests: one Valkey and one cluster a run, a key prefix of its own a test."""

import os
import secrets
import shutil
import signal
import socket
import threading
from pathlib import Path

import hypothesis
import pytest
import redis
import uvicorn
from channels.layers import channel_layers
from django.conf import settings as django_settings
from playwright.sync_api import expect, sync_playwright

from moi_django.cluster import connections
from moi_django.cluster.reconciler import Reconciler
from moi_django.conf import conf
from moi_django.contrib.events import unregister
from moi_django.contrib.events.registry import consumers
from moi_django.contrib.services.embedded_redis import EmbeddedRedis
from moi_django.contrib.services.local_cluster import connection_file as connection_file_in
from moi_django.contrib.services.local_cluster import make_local_cluster
from moi_django.site_store import get_store as site_store
from tests.helpers.clusters import running_cluster, start_cluster_sync
from tests.helpers.job_report import describe_jobs
from tests.helpers.pages import PATIENCE, Contexts, session_cookie
from tests.helpers.processes import ROOT, free_port, site_process
from tests.helpers.site_server import SiteServer

# What the tests in a room may need: nothing, a Redis and servers on it, engines, a browser.
ROOMS = ["unit", "redis", "cluster", "services", "clusters", "bench", "browser"]
# In which order several processes take them, and files of theirs that take long.
HEAVY = ["services", "cluster", "redis", "unit", "clusters", "bench", "browser"]
LONG = {
    *("test_command", "test_reconciler", "test_operation"),
    *("test_example", "test_script_rules", "test_job_page", "test_live_list", "test_panel"),
}
# Debian's Chromium looks names up on its own.
NO_NAMES = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"
# How long an example takes says more about the machine than about us.
hypothesis.settings.register_profile(
    "moi", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("moi")

# What a shell runs in the background ignores Ctrl-C, and so does all that a test starts then.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The facts of one run, shared with engines and servers through their environment.
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
# What these tests start are sites at work, and no tests of a site.
os.environ.pop("PYTEST_VERSION", None)


@pytest.fixture(autouse=True)
def unheard():
    """Nobody hears of events, but in tests that ask for it.

    Apps say anew that they do when a test changes which ones are installed.
    """
    for consumer in consumers():
        unregister(consumer.name)


@pytest.fixture(scope="session")
def redis_server():
    with EmbeddedRedis() as server:
        yield server


@pytest.fixture(scope="session")
def site(redis_server, django_db_setup):
    """The site on a server for the browsers of many tests: its port, and the prefix of its keys."""
    port, prefix = free_port(), "site-"
    with site_process(port, MOI_REDIS_URL=redis_server.url, MOI_TEST_PREFIX=prefix):
        yield port, prefix


@pytest.fixture
def moi(request, settings, redis_server, tmp_path):
    """MOI as a test may change it, on the run's Redis under a prefix of the test's own.

    A test with `port` has the prefix of the site that it visits, under which nothing is any more.
    """
    prefix = f"test-{secrets.token_hex(6)}-"
    if "port" in request.fixturenames:
        _, prefix = request.getfixturevalue("site")
        with redis.Redis.from_url(redis_server.url) as connection:
            for key in connection.scan_iter(f"{prefix}*"):
                connection.unlink(key)
    settings.MOI = {
        "REDIS_URL": redis_server.url,
        "KEY_PREFIX": prefix,
        "STATE_DIR": str(tmp_path / "moi"),
        "TEST_ISOLATION": False,
    }
    return settings.MOI


@pytest.fixture
def own_redis(moi, tmp_path):
    """A Redis of the test's own, which keeps what it holds on disk."""
    data = tmp_path / "redis"
    data.mkdir()
    with EmbeddedRedis(data) as server:
        moi["REDIS_URL"] = server.url
        yield server


@pytest.fixture
def silent():
    """A server that takes connections and never says a word, as a Redis that is stopped."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.fixture
def site_env(moi, redis_server):
    """What a program of its own needs to share the jobs of a test."""
    return {"MOI_REDIS_URL": redis_server.url, "MOI_TEST_PREFIX": moi["KEY_PREFIX"]}


@pytest.fixture
def store(moi):
    return site_store()


@pytest.fixture(scope="session")
def connection_file(tmp_path_factory, django_db_setup, django_db_blocker):
    """A cluster with two engines which have the site's Django and see the tests' database."""
    directory = tmp_path_factory.mktemp("cluster")
    env = {
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "MOI_TEST_DATABASE": str(django_settings.DATABASES["default"]["NAME"]),
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    with running_cluster(2, directory, env) as file:
        yield file


@pytest.fixture
def cluster(moi, connection_file, db):
    """Make the run's cluster the default context of a test."""
    moi["CONTEXTS"] = {"default": {"connection_file": connection_file}}
    moi["CLUSTER_TIMEOUT"] = 10.0  # of a controller on a busy machine
    yield connection_file
    connections.close_connections()


@pytest.fixture
def own_cluster(moi, store, db, tmp_path):
    """Return what starts a cluster of the test's own: its engines and controller may be killed."""
    directory = tmp_path / "cluster"
    directory.mkdir()
    moi["CONTEXTS"] = {"default": {"connection_file": str(connection_file_in(directory))}}
    started = []

    def start(engines, *arguments):
        if "--reuse" not in arguments:
            connection_file_in(directory).unlink(missing_ok=True)
        cluster = make_local_cluster(engines, directory, {"PYTHONPATH": str(ROOT)})
        cluster.controller_args = [*cluster.controller_args, *arguments]
        start_cluster_sync(cluster).close()
        started.append(cluster)
        return cluster

    yield start
    connections.close_connections()
    for cluster in started:
        cluster.stop_cluster_sync()


@pytest.fixture
def reconciler(moi):
    """A reconciler that looks after the jobs of a test."""
    stop = threading.Event()
    said = []
    thread = threading.Thread(target=Reconciler(said.append).run_until, args=[stop])
    thread.start()
    yield said
    stop.set()
    thread.join()


@pytest.fixture
def server(moi, transactional_db):
    """The site on a real server in this process; its host and port."""
    config = uvicorn.Config(
        "moi_django.asgi:development",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        ws_max_size=conf.server_frame_limit,
        lifespan="off",
        log_level="warning",
        port=0,
    )
    listening = config.bind_socket()
    listening.listen()  # from here on a client waits instead of being refused
    host, port = listening.getsockname()
    channel_layers.backends.clear()  # the last test's may have been on another Redis
    running = SiteServer(config)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield f"{host}:{port}"
    finally:
        running.should_exit = True
        thread.join()
        listening.close()


@pytest.fixture(scope="session")
def chromium():
    # Playwright runs a loop in this thread, which makes Django fear for its database.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    path = os.environ.get("MOI_BROWSER") or shutil.which("chromium")
    assert path, "Name a Chromium in MOI_BROWSER, or run the tests with `make test`."
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[NO_NAMES])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def contexts(chromium):
    return Contexts(chromium)


@pytest.fixture
def port(site, moi, transactional_db):
    """The port of the site, where other tests have been before."""
    port, _ = site
    return port


@pytest.fixture
def visit(contexts, ada):
    """Open a page as the `ada` of a test; whatever a page complains of fails the test.

    To be asked for after `port`, so that pages close before the database is emptied.
    """
    complaints = []

    def visit(port, path="/", live=True, quiet=False, prepare=None, **options):
        context = contexts.take(is_new=prepare is not None, **options)
        context.add_cookies([session_cookie(ada, port)])
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        if not quiet:
            page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        if prepare:
            prepare(page)
        page.goto(f"http://127.0.0.1:{port}{path}")
        if live:
            expect(page.locator("moi-jobs:not([live])")).to_have_count(0)
        return page

    yield visit
    contexts.give_back()
    assert complaints == []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Say of a failed test what there was of jobs: a race is seldom met twice."""
    report = yield
    if report.failed and call.when == "call" and "moi" in item.fixturenames:
        report.sections.append(("Jobs", describe_jobs()))
    return report


def pytest_unconfigure(config):
    """Leave no file behind that a job of a test has attached."""
    if hasattr(config, "workerinput"):
        return  # others go on
    shutil.rmtree(django_settings.MEDIA_ROOT, ignore_errors=True)


def pytest_collection_modifyitems(config, items):
    """Mark each test with its room, and run the lighter rooms first.

    Several processes begin with the files that take long, so that none waits at the end for another
    that has just begun one. Playwright's loop would disturb other tests after it.
    """
    for item in items:
        item.add_marker(room_of(item))
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: (HEAVY.index(room_of(item)), item.path.stem not in LONG))
    else:
        items.sort(key=lambda item: ROOMS.index(room_of(item)))


def room_of(item):
    return item.path.relative_to(Path(__file__).parent).parts[0]
