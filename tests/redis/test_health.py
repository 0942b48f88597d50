"""What health says of what is well and what is not, in a terminal and by url."""

import json
import time

import pytest
import redis
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.management import call_command
from django.test import AsyncClient, Client

from moi_django import Group
from moi_django.cluster.reconciler import Reconciler
from moi_django.contrib.health import report, views
from moi_django.contrib.health.heartbeat import ReconcilerHeartbeat, seconds_since_reconciled
from moi_django.contrib.health.report import TIMEOUT, Finding, examine_all, examine_redis
from moi_django.contrib.health.views import Kept
from moi_django.contrib.operation import pauses
from moi_django.exceptions import StoreUnavailable
from tests.helpers.processes import in_time, manage
from tests.helpers.queues import queued_job

pytestmark = pytest.mark.django_db

TOKEN = "a token that nobody guesses"


@pytest.fixture(autouse=True)
def lab(request, moi, monkeypatch, tmp_path):
    """A context without a cluster; what was kept of the test before is forgotten.

    A Redis that answers has more time for that than others, however busy the machine is.
    """
    moi["CONTEXTS"] = {"lab": {"connection_file": str(tmp_path / "none.json")}}
    monkeypatch.setattr(views, "_redis", Kept(examine_redis))
    monkeypatch.setattr(views, "_all", Kept(examine_all))
    if "silent" not in request.fixturenames:
        monkeypatch.setattr(report, "REDIS_TIMEOUT", 20.0)
        monkeypatch.setattr(report, "TIMEOUT", 25.0)
        monkeypatch.setattr(report, "QUICK", dict.fromkeys(report.QUICK, 20.0))


@pytest.fixture
def silent_redis(moi, silent):
    moi["REDIS_URL"] = "redis://:secret@{}:{}/0".format(*silent.getsockname())


def found():
    return {finding.part: finding for finding in examine_all()}


def test_each_part_is_looked_at(moi):
    findings = found()
    assert {part: finding.ok for part, finding in findings.items()} == {
        "redis": True,
        "reconciler": False,
        "engines lab": False,
        "queue lab": True,
    }
    assert all(finding.ok or finding.advice for finding in findings.values())


def test_each_context_is_told_how_its_engines_are_started(moi):
    moi["CONTEXTS"]["batch"] = {"LAUNCHER": "slurm", "ENGINES": 2}
    findings = found()
    assert "`ipcluster engines`" in findings["engines lab"].advice
    advice = findings["engines batch"].advice
    assert advice == "start some with `python manage.py moi cluster start --context=batch`"


def test_a_reconciler_leaves_a_trace(store):
    assert seconds_since_reconciled() is None
    assert found()["reconciler"].text == "has looked after jobs never"
    Reconciler(tasks=[ReconcilerHeartbeat().beat]).reconcile()
    assert found()["reconciler"].ok and seconds_since_reconciled() < 60
    key, client = store.keys.metrics, store.connection.redis
    assert client.ttl(key) > 0
    client.hset(key, "reconciled", store.connection.server_time() - 600)
    finding = found()["reconciler"]
    assert not finding.ok and finding.text == "has looked after jobs not for 10 min"
    assert "moi reconcile" in finding.advice
    client.hset(key, "reconciled", "nonsense")
    assert not found()["reconciler"].ok


def test_a_job_that_waits_too_long_is_told_unless_its_context_is_paused(moi, store):
    queued_job(store, Group.of("ada").info, date_created="2020-01-01 00:00:00.000000")
    assert found()["queue lab"].ok
    assert found()["queue lab"].text.startswith("1 waits, the first for ")
    moi["HEALTH_MAX_WAIT"] = 3600
    assert not found()["queue lab"].ok and "more engines" in found()["queue lab"].advice
    pauses.pause("lab")
    assert found()["queue lab"].ok and found()["queue lab"].text.endswith("it is paused")


@pytest.mark.parametrize(
    ("commands", "words"),
    [
        ([("REPLICAOF", "127.0.0.1", "1")], "is a replica"),
        ([("CONFIG", "SET", "maxmemory", "1")], "is full"),
        ([("ACL", "SETUSER", "default", "-hset")], "no permissions"),
    ],
)
def test_a_redis_that_takes_no_writes_is_not_well(own_redis, commands, words):
    with redis.Redis.from_url(own_redis.url) as client:
        for command in commands:
            client.execute_command(*command)
    [finding] = examine_all()
    assert not finding.ok and words in finding.text and finding.advice


def test_a_trace_that_cannot_be_left_is_told_alike_each_time(own_redis):
    with redis.Redis.from_url(own_redis.url) as client:
        client.execute_command("ACL", "SETUSER", "default", "-hset")
    said = set()
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="no permissions") as raised:
            ReconcilerHeartbeat().beat()
        said.add(str(raised.value))
    assert len(said) == 1


def test_a_redis_that_hangs_is_told_within_two_seconds(silent_redis):
    [finding] = in_time(TIMEOUT + 1, examine_all)
    assert not finding.ok and "secret" not in finding.text + finding.advice


def test_a_redis_that_hangs_meanwhile_is_told_within_two_seconds(moi, silent, monkeypatch):
    moi["REDIS_URL"] = "redis://{}:{}/0".format(*silent.getsockname())
    well = Finding("redis", True, "answers")
    monkeypatch.setattr("moi_django.contrib.health.report.examine_redis", lambda: well)
    findings = in_time(TIMEOUT + 1, found)
    assert not findings["reconciler"].ok and not findings["queue lab"].ok
    assert findings["queue lab"].text == "does not answer in time"


def test_without_a_redis_it_says_what_to_start(moi):
    moi["REDIS_URL"] = None
    [finding] = examine_all()
    assert not finding.ok and "manage.py moi up" in finding.text


def test_the_verb_says_it_and_its_exit_code_does(moi, capsys):
    with pytest.raises(SystemExit) as ended:
        call_command("moi", "health")
    assert ended.value.code == 1
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first == "ok       redis        answers and takes writes"
    assert second.startswith("PROBLEM  reconciler   has looked after jobs never: keep `python")
    with pytest.raises(SystemExit):
        call_command("moi", "health", "--json")
    said = json.loads(capsys.readouterr().out)
    assert said["ok"] is False
    assert said["findings"][0] == {
        "part": "redis",
        "ok": True,
        "text": "answers and takes writes",
        "advice": "",
    }


def test_the_verb_ends_also_when_redis_hangs(silent, tmp_path):
    ran = manage("moi", "health", MOI_REDIS_URL="redis://{}:{}/0".format(*silent.getsockname()))
    assert (ran.returncode, ran.stderr) == (1, "")
    assert ran.stdout.startswith("PROBLEM  redis")


def test_whoever_asks_by_url_gets_a_word_and_no_more(silent_redis):
    answer = Client().get("/health/live")
    assert (answer.status_code, answer.content) == (200, b"ok\n")
    answer = Client().get("/health/ready")
    assert (answer.status_code, answer.content) == (503, b"unavailable\n")
    assert "no-store" in answer["Cache-Control"]
    assert Client().post("/health/ready").status_code == 405


def test_a_server_is_ready_when_redis_is_though_there_are_no_engines(moi):
    assert Client().get("/health/ready").content == b"ok\n"


async def test_an_asgi_server_answers_too(moi):
    assert (await AsyncClient().get("/health/ready")).content == b"ok\n"


def test_it_is_looked_once_in_a_second_however_often_it_is_asked(own_redis):
    def calls():
        with redis.Redis.from_url(own_redis.url) as client:
            return client.info("commandstats").get("cmdstat_hset", {"calls": 0})["calls"]

    began = time.monotonic()
    for _ in range(30):
        assert Client().get("/health/ready").status_code == 200
    assert 1 <= calls() <= 2 + (time.monotonic() - began)


@pytest.mark.parametrize(
    ("token", "given", "status"),
    [
        (None, None, 403),
        (None, "Bearer ", 403),
        (None, "Bearer None", 403),
        ("", "Bearer ", 403),
        (TOKEN, None, 403),
        (TOKEN, "Bearer wrong", 403),
        (True, "Bearer True", 403),
        (TOKEN, f"Basic {TOKEN}", 403),
        (TOKEN, TOKEN, 403),
        (TOKEN, "Bearer \u00e9", 403),
        (TOKEN, f"Bearer {TOKEN}", 503),
        (TOKEN, f"bearer {TOKEN}", 503),
    ],
)
def test_details_are_for_who_has_the_token(moi, token, given, status):
    moi["MONITOR_TOKEN"] = token
    answer = Client(headers={"Authorization": given} if given else {}).get("/health/details")
    assert answer.status_code == status
    if status == 503:
        assert [each["part"] for each in answer.json()["findings"]][:2] == ["redis", "reconciler"]
    else:
        assert answer.content == b"forbidden\n"


@pytest.mark.parametrize(("permissions", "status"), [((), 403), (("view_jobs",), 503)])
def test_details_are_for_who_may_see_the_jobs_of_all(moi, permissions, status):
    user = get_user_model().objects.create_user("olga", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    assert client.get("/health/details").status_code == status


def test_on_a_site_without_users_details_are_for_the_token_alone(moi, settings):
    settings.MIDDLEWARE = []
    moi["MONITOR_TOKEN"] = TOKEN
    assert Client().get("/health/details").status_code == 403
    answer = Client(headers={"Authorization": f"Bearer {TOKEN}"}).get("/health/details")
    assert answer.status_code == 503
