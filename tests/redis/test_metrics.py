"""What Prometheus is told: counts that nothing makes wrong, and what is so now."""

import asyncio
import sys
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import AsyncClient, Client
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families

from moi_django import __version__, submit
from moi_django.cluster.reconciler import Reconciler
from moi_django.conf import conf
from moi_django.contrib.events import register, registry
from moi_django.contrib.events.reader import deliver_all
from moi_django.contrib.events.stream import EventStream
from moi_django.contrib.health.heartbeat import ReconcilerHeartbeat
from moi_django.contrib.metrics import checks
from moi_django.contrib.metrics.apps import MetricsConfig
from moi_django.contrib.metrics.collector import JobsCollector
from moi_django.contrib.metrics.event_counts import count_events
from moi_django.contrib.metrics.families import FAMILIES
from moi_django.contrib.metrics.websockets import count_websockets
from moi_django.contrib.operation import pauses
from moi_django.exceptions import StoreUnavailable
from moi_django.models import State, format_date
from moi_django.site_store import get_store
from moi_django.store.engines import EngineMetrics
from moi_django.store.queue import Worker
from tests.helpers.processes import free_port, site_process, wait_for
from tests.helpers.queues import QUEUE, claim, queued_job
from tests.helpers.records import finish, new_group
from tests.helpers.websocket import connected

pytestmark = pytest.mark.django_db

TOKEN = "a token that nobody guesses"
URL = "/metrics"


@pytest.fixture(autouse=True)
def lab(moi, monkeypatch, tmp_path):
    """A context without a cluster, on a site that counts as one does that has installed the app."""
    moi["CONTEXTS"] = {"lab": {"connection_file": str(tmp_path / "none.json")}}
    moi["MONITOR_TOKEN"] = TOKEN
    monkeypatch.setattr(registry, "_consumers", {})
    monkeypatch.setattr(conf, "hears_events", False)
    MetricsConfig("moi_django.contrib.metrics", sys.modules[MetricsConfig.__module__]).ready()


@pytest.fixture
def heard(lab):
    """The store of a site that hears of events."""
    return get_store()


@pytest.fixture
def root(heard):
    return heard.users.enrol("ada", new_group)


def scrape(**headers):
    answer = Client(headers={"Authorization": f"Bearer {TOKEN}", **headers}).get(URL)
    assert answer.status_code == 200, answer.content
    return answer


def samples():
    """Return what a scrape says, as a function of a name and the values of its labels."""
    found = {
        (sample.name, frozenset(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(scrape().content.decode())
        for sample in family.samples
    }
    return lambda name, *labels: found.get((name, frozenset(map(str, labels))))


def counted():
    deliver_all()
    return samples()


def test_all_that_is_documented_is_told_and_is_of_its_kind(heard):
    families = {
        family.name: family for family in text_string_to_metric_families(scrape().content.decode())
    }
    for family in FAMILIES.values():
        told = families[family.name.removesuffix("_total")]
        assert (told.type, told.documentation) == (family.type, family.help)
    assert len(families) == len(FAMILIES)
    assert samples()("moi_info", __version__) == 1


def test_a_job_is_counted_from_its_submit_to_its_end(heard, root):
    before = counted()
    assert before("moi_jobs_submitted_total", "lab") == 0
    assert before("moi_jobs_ended_total", "lab", "success") == 0
    begun = datetime.now(UTC) - timedelta(seconds=85)
    first = queued_job(heard, root, date_created=format_date(begun))
    queued_job(heard, root)
    heard.queue.claim(Worker(QUEUE, "one"), "token", format_date(begun + timedelta(seconds=20)))
    heard.jobs.change(first.id, lambda info: info.ended(State.SUCCESS))
    after = counted()
    assert after("moi_jobs_submitted_total", "lab") == 2
    assert after("moi_attempts_started_total", "lab") == 1
    assert after("moi_jobs_ended_total", "lab", "success") == 1
    assert after("moi_job_wait_seconds_count", "lab") == 1
    assert after("moi_job_wait_seconds_sum", "lab") == pytest.approx(20)
    assert after("moi_job_wait_seconds_bucket", "10.0", "lab") == 0
    assert after("moi_job_wait_seconds_bucket", "30.0", "lab") == 1
    assert after("moi_job_wait_seconds_bucket", "+Inf", "lab") == 1
    assert after("moi_job_run_seconds_bucket", "60.0", "lab", "success") == 0
    assert after("moi_job_run_seconds_bucket", "300.0", "lab", "success") == 1
    assert after("moi_job_run_seconds_count", "lab", "failed") == 0


@pytest.mark.parametrize("state", [State.FAILED, State.CANCELLED, State.LOST])
def test_every_end_is_counted_as_what_it_is(heard, root, state):
    job = queued_job(heard, root)
    claim(heard)
    finish(heard, job, state, "Traceback")
    assert counted()("moi_jobs_ended_total", "lab", state) == 1


def test_a_job_that_cannot_be_sent_has_failed_without_a_run(heard, transactional_db):
    submit("lab", "ada", "no function", None, print, threading.Lock())
    found = counted()
    assert found("moi_jobs_ended_total", "lab", "failed") == 1
    assert found("moi_job_run_seconds_count", "lab", "failed") == 0


def test_a_job_that_was_to_begin_later_has_not_waited_before(heard, root):
    begun, due = datetime.now(UTC) - timedelta(hours=2), datetime.now(UTC) - timedelta(seconds=2)
    queued_job(heard, root, date_created=format_date(begun), run_after=format_date(due))
    Reconciler().reconcile()
    claim(heard)
    assert 2 <= counted()("moi_job_wait_seconds_sum", "lab") < 600


def test_what_is_told_again_is_counted_once(heard, root):
    told = []
    register("metrics", lambda events: (told.extend(events), count_events(events)))
    queued_job(heard, root)
    queued_job(heard, root)
    deliver_all()
    count_events(told)  # as when a process has died before it could say that it was done
    count_events(told[1:])
    assert samples()("moi_jobs_submitted_total", "lab") == 2


def test_a_reader_that_is_killed_loses_nothing(heard, root):
    queued_job(heard, root)
    stream = EventStream(heard.connection, "metrics")
    stream.begin()
    assert stream.hold("killed", 60)
    assert len(stream.read("killed", 10, is_new=True)) == 1  # and says no more
    queued_job(heard, root)
    assert counted()("moi_jobs_submitted_total", "lab") == 0
    heard.connection.redis.delete(f"{heard.config.prefix}events-reader:metrics")  # it expires
    assert counted()("moi_jobs_submitted_total", "lab") == 2


def test_counts_outlive_jobs_and_their_context(heard, root, moi, tmp_path):
    job = queued_job(heard, root)
    deliver_all()
    heard.tree.remove(job.id)
    moi["CONTEXTS"] = {"other": {"connection_file": str(tmp_path / "none.json")}}
    found = counted()
    assert found("moi_jobs_submitted_total", "lab") == 1
    assert found("moi_jobs_ended_total", "cancelled", "lab") == 1
    assert found("moi_jobs_submitted_total", "other") == 0
    assert heard.connection.redis.ttl(heard.keys.metrics) > 300 * 86_400


def test_nothing_of_names_or_owners_is_told(heard, root):
    queued_job(heard, root, "a secret name", url="/secret-url")
    deliver_all()
    text = scrape().content.decode()
    assert "secret" not in text and "ada" not in text and root.id not in text


def test_what_waits_and_runs_is_as_it_is_now(heard, root):
    queued_job(heard, root, date_created=format_date(datetime.now(UTC) - timedelta(hours=1)))
    found = samples()
    assert found("moi_jobs_waiting", "lab") == 1
    assert 3600 <= found("moi_job_oldest_wait_seconds", "lab") < 3700
    assert found("moi_jobs", "queued") == 1 and found("moi_jobs", "running") == 0
    assert found("moi_context_paused", "lab") == 0
    claim(heard, "11112222")
    pauses.pause("lab")
    heard.engines.report(EngineMetrics("11112222", "lab"))
    found = samples()
    assert found("moi_jobs_waiting", "lab") == found("moi_job_oldest_wait_seconds", "lab") == 0
    assert found("moi_jobs", "running") == 1
    assert found("moi_context_up", "lab") == 0 and found("moi_context_paused", "lab") == 1
    assert found("moi_engines", "busy", "lab") == 1 and found("moi_engines", "idle", "lab") == 0
    assert found("moi_engines_drained", "lab") == 0


def test_a_trace_of_the_reconciler_and_what_is_not_known(heard, root):
    assert samples()("moi_reconciler_timestamp_seconds") is None
    ReconcilerHeartbeat().beat()
    assert abs(samples()("moi_reconciler_timestamp_seconds") - time.time()) < 60
    queued_job(heard, root)
    assert counted()("moi_events_waiting", "metrics") == 0
    queued_job(heard, root)
    assert samples()("moi_events_waiting", "metrics") == 1


@pytest.mark.django_db(transaction=True)
def test_websockets_of_all_processes_are_counted_until_they_die(server, site_env, lab):
    assert count_websockets() == 0
    user, other = get_user_model().objects.create_user("olga"), f"127.0.0.1:{free_port()}"

    async def watch():
        async with connected(server, user), connected(other, user), connected(other, user):
            await sync_to_async(wait_for)(lambda: count_websockets() == 3)
            process.kill()
            await sync_to_async(wait_for)(lambda: count_websockets() == 1)

    with site_process(int(other.split(":")[1]), **site_env) as process:
        asyncio.run(watch())
    wait_for(lambda: count_websockets() == 0)


def test_as_openmetrics_if_that_is_wanted(heard):
    answer = scrape(Accept="application/openmetrics-text; version=1.0.0")
    assert answer["Content-Type"].startswith("application/openmetrics-text")
    assert len(list(parse_open(answer.content.decode()))) == len(FAMILIES)


async def test_an_asgi_server_tells_it_too(heard):
    answer = await AsyncClient().get(URL, headers={"Authorization": f"Bearer {TOKEN}"})
    assert b"moi_jobs_waiting" in answer.content


def test_a_collector_looks_at_nothing_before_it_is_scraped(moi):
    moi["REDIS_URL"] = "redis://127.0.0.1:1/0"
    registry = CollectorRegistry(auto_describe=True)
    registry.register(JobsCollector())
    with pytest.raises(StoreUnavailable):
        list(registry.collect())
    answer = Client(headers={"Authorization": f"Bearer {TOKEN}"}).get(URL)
    assert (answer.status_code, b"127.0.0.1:1" in answer.content) == (503, True)


@pytest.mark.parametrize(
    ("token", "given"),
    [(None, None), (None, "Bearer None"), ("", "Bearer "), (TOKEN, None), (TOKEN, "Bearer no")],
)
def test_whoever_has_no_token_is_told_nothing(moi, token, given):
    moi["MONITOR_TOKEN"] = token
    answer = Client(headers={"Authorization": given} if given else {}).get(URL)
    assert (answer.status_code, answer.content) == (403, b"forbidden\n")


@pytest.mark.parametrize(("permissions", "status"), [((), 403), (("view_jobs",), 200)])
def test_who_may_see_the_jobs_of_all_needs_no_token(permissions, status):
    user = get_user_model().objects.create_user("olga", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    assert client.get(URL).status_code == status


def test_what_is_missing_is_found(moi, monkeypatch):
    assert [*checks.check_prometheus_client(), *checks.check_token()] == []
    moi["MONITOR_TOKEN"] = "12345"
    [found] = checks.check_token()
    assert (found.id, "secrets" in found.hint) == ("moi.W041", True)
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    monkeypatch.delitem(sys.modules, "moi_django.contrib.metrics.collector")
    moi["MONITOR_TOKEN"] = TOKEN
    [found] = checks.check_prometheus_client()
    assert (found.id, found.hint) == ("moi.E040", "pip install 'moi_django[metrics]'")
    answer = Client(headers={"Authorization": f"Bearer {TOKEN}"}).get(URL)
    assert answer.status_code == 503 and b"pip install 'moi_django[metrics]'" in answer.content
