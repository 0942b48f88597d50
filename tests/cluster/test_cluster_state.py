"""Contexts and engines, as controllers, engines and Redis know them."""

import os
import signal
import time
from datetime import UTC, datetime

import pytest

from moi_django import Group, ctx_default, submit
from moi_django.cluster import connections
from moi_django.contrib.monitoring import cluster_state
from moi_django.contrib.monitoring.cluster_state import EngineCondition
from moi_django.models import State
from moi_django.store.engines import EngineMetrics
from tests.helpers.held_job import Held
from tests.helpers.processes import wait_for
from tests.helpers.records import job_in, new_job
from tests.site import work

pytestmark = pytest.mark.django_db(transaction=True)


def conditions():
    return {
        engine.id: str(engine.condition) for engine in cluster_state.get_cluster_state().engines
    }


def ago(seconds):
    """Return a time in the past as an info object has it."""
    return datetime.fromtimestamp(time.time() - seconds, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def running_on(store, engine, since=0):
    """Write a job as an engine does that has been running it for some seconds."""
    job = job_in(store, Group.of("ada"), "a job", context="default")
    dates = {"date_start": ago(since), "engine": engine}
    return store.jobs.change(job.id, lambda info: info.changed(state=State.RUNNING, **dates))


def waiting_in(store, context, seconds):
    """Let a job wait that was submitted some seconds ago."""
    job = new_job(Group.of("ada").info, context=context, python="3.0", date_created=ago(seconds))
    store.jobs.create(job, b"signed")


def test_engines_without_a_job_are_known_from_the_controller(cluster, store):
    found = cluster_state.get_cluster_state()
    assert [str(engine.condition) for engine in found.engines] == ["idle", "idle"]
    assert {engine.report for engine in found.engines} == {None}
    [context] = found.contexts
    assert (context.name, context.answers, context.engines, context.busy) == ("default", True, 2, 0)
    assert (context.waiting, context.longest, found.longest) == (0, None, None)


def test_a_busy_engine_says_with_what(cluster, store, tmp_path):
    held = Held(tmp_path, "held")
    assert held.pid
    engine = held.job.refresh().info.engine
    [busy] = [each for each in cluster_state.get_cluster_state().engines if each.id == engine]
    assert (str(busy.condition), busy.job.id, busy.context) == ("busy", held.job.id, "default")
    assert 0 <= busy.busy < 60
    wait_for(lambda: store.engines.reports().get(engine), "its report")
    [busy] = [each for each in cluster_state.get_cluster_state().engines if each.id == engine]
    assert busy.metrics.pid == held.engine.pid
    assert 0 <= busy.seen < 60
    assert cluster_state.get_cluster_state().contexts[0].busy == 1
    held.gate.touch()
    held.job.value()
    assert set(conditions().values()) == {"idle"}


def test_what_waits_is_counted_by_context(cluster, store, moi):
    moi["CONTEXTS"]["away"] = {"connection_file": "/nowhere/ipcontroller-client.json"}
    for context, seconds in (("default", 100), ("away", 200), ("away", 100)):
        waiting_in(store, context, seconds)
    store.connection.redis.zadd(store.keys.delayed, {"2:z": store.connection.server_time() + 100})
    job_in(store, Group.of("ada"))
    found = cluster_state.get_cluster_state()
    [default, away] = found.contexts
    assert (default.answers, default.waiting, away.answers, away.waiting) == (True, 1, False, 2)
    assert default.longest == pytest.approx(100, abs=20)
    assert found.longest == away.longest == pytest.approx(200, abs=20)
    assert (found.paused, found.states["queued"]) == (1, 4)


def test_engines_are_not_what_they_were(cluster, store, moi):
    moi["CONTEXTS"]["away"] = {"connection_file": "/nowhere/ipcontroller-client.json"}
    [one, two] = sorted(conditions())
    running_on(store, one, since=60)
    running_on(store, "unheard")
    store.engines.report(EngineMetrics("gone", "default"))
    store.engines.report(EngineMetrics("elsewhere", "away"))
    store.engines.report(EngineMetrics("long gone", "default"))
    store.connection.redis.zadd(
        store.keys.engines,
        {"long gone": store.connection.server_time() - 2 * cluster_state.GONE_SHOWN},
    )
    assert conditions() == {
        one: "silent",
        two: "idle",
        "unheard": "busy",
        "gone": "gone",
        "elsewhere": "unknown",
    }
    assert cluster_state.get_cluster_state().engines[-1].id == "gone"


def test_a_killed_engine_is_gone(own_cluster, moi, store, tmp_path):
    moi["LEASE"] = 2.0
    own_cluster(1)
    told = tmp_path / "told"
    job = submit(ctx_default, "ada", "a job", None, work.held, str(tmp_path / "gate"), str(told))
    engine = wait_for(lambda: job.refresh().info.engine, "its start")
    wait_for(lambda: store.engines.reports().get(engine), "its report")
    os.kill(store.engines.reports()[engine].metrics.pid, signal.SIGKILL)
    wait_for(
        lambda: conditions().get(engine) in (EngineCondition.GONE, EngineCondition.SILENT),
        "its end",
    )
    connections.close_connections()
