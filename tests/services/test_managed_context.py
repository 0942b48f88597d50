"""A context that the settings describe, with engines on this host: from its start to its end."""

import os
import signal
import sys
import time

import psutil
import pytest
from django.core.management import call_command

from moi_django import submit
from moi_django.cluster import connections
from moi_django.cluster.reconciler import Reconciler
from moi_django.contrib.clusters import scaling
from moi_django.contrib.clusters.context_settings import read_context
from moi_django.contrib.clusters.context_status import EngineCondition, ManagedContext
from moi_django.contrib.clusters.keeper import ContextKeeper
from moi_django.contrib.health.report import examine_all
from moi_django.exceptions import ServiceError, UsageError
from tests.helpers.processes import wait_for

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def lab(moi, tmp_path):
    """The settings of a context that is stopped in the end."""
    moi["STATE_DIR"] = tmp_path
    lab = {"LAUNCHER": "local", "ENGINES": 1, "DIRECTORY": tmp_path}
    moi["CONTEXTS"] = {"default": {}, "lab": lab}
    context = read_context("lab")
    yield context
    connections.close_connections()
    scaling.stop(context, now=True)


def conditions(context):
    return sorted(each.condition for each in ManagedContext(context).read_status().engines)


def test_a_cluster_is_started_scaled_and_stopped_and_its_job_ends_where_it_is(lab, tmp_path):
    def wait_for_file(path):
        while not path.exists():
            time.sleep(0.05)

    with pytest.raises(ServiceError, match="does not run"):
        scaling.scale(lab, 2)
    change = scaling.start(lab)
    assert change.controller and len(change.submitted) == 1
    wait_for(lambda: conditions(lab) == [EngineCondition.IDLE])
    assert scaling.start(lab).submitted == []
    job = submit("lab", "no-user", "wait", None, wait_for_file, tmp_path / "end")
    wait_for(lambda: conditions(lab) == [EngineCondition.BUSY])
    left = scaling.scale(lab, 0)
    assert len(left.leaving) == len(left.busy) == 1
    wait_for(lambda: conditions(lab) == [EngineCondition.LEAVING])
    assert scaling.stop(lab).controller == change.controller
    stop = ("moi", "cluster", "stop", "--context=lab")
    with pytest.raises(SystemExit):
        call_command(*stop, "--wait=0")
    (tmp_path / "end").touch()
    call_command(*stop, "--wait=60")
    assert job.refresh().state == "success"
    assert conditions(lab) == []
    assert not psutil.pid_exists(change.controller)
    assert not connections.connection_file("lab").exists()


def test_an_engine_that_was_killed_is_replaced_once_it_is_seen_to_be_gone_twice(lab):
    [slot] = scaling.start(lab).submitted
    wait_for(lambda: conditions(lab) == [EngineCondition.IDLE])
    os.kill(int(slot.partition("@")[0]), signal.SIGKILL)
    said = []
    keeper = ContextKeeper("lab", said.append)

    def is_replaced():
        keeper.look()
        return "context lab: 1 engine asked for anew" in said

    wait_for(is_replaced)
    wait_for(lambda: conditions(lab) == [EngineCondition.IDLE])


def test_engines_that_have_just_begun_go_later_where_nobody_waits_for_it(lab, moi, tmp_path):
    gate, python, said = tmp_path / "gate", tmp_path / "python", []
    held = f"case $* in *clusters.engine*) until [ -e '{gate}' ]; do sleep 0.05; done; esac"
    python.write_text(f'#!/bin/sh\n{held}\nexec {sys.executable} "$@"\n')
    python.chmod(0o700)
    moi["CONTEXTS"]["lab"]["PYTHON"] = str(python)
    lab = read_context("lab")
    scaling.start(lab)
    assert scaling.scale(lab, 0, waits=False).leaving == []
    assert conditions(lab) == [EngineCondition.STARTING]
    gate.touch()
    keeper = ContextKeeper("lab", said.append)

    def is_empty():
        keeper.look()
        return conditions(lab) == []

    wait_for(is_empty)
    assert said == ["context lab: 1 engine fewer, as asked"]


def health_of_engines(context):
    [found] = [each for each in examine_all() if each.part == f"engines {context}"]
    return found.ok, found.text


def test_an_elastic_context_has_engines_while_jobs_need_them_and_none_in_the_end(lab, moi):
    moi["CONTEXTS"]["lab"].update(ENGINES=(0, 2), IDLE_TIMEOUT=5)
    lab, said = read_context("lab"), []
    assert scaling.start(lab).submitted == []
    keeper, reconciler = ContextKeeper("lab", said.append), Reconciler()
    jobs = [submit("lab", "no-user", "nap", None, time.sleep, 1) for _ in range(3)]

    def are_successful():
        keeper.look()
        reconciler.reconcile()
        return all(job.refresh().state == "success" for job in jobs)

    def is_empty():
        keeper.look()
        return ManagedContext(lab).wanted == 0 and conditions(lab) == []

    wait_for(are_successful)
    wait_for(is_empty)
    assert health_of_engines("lab") == (True, f"there are none now: {connections.ELASTIC_HINT}")
    moi["CONTEXTS"]["lab"]["ENGINES"] = (1, 2)
    assert health_of_engines("lab") == (False, "there are none")
    moi["CONTEXTS"]["lab"]["ENGINES"] = (0, 2)
    assert said[0] == "context lab: 2 engines more, as jobs wait"
    assert all(line.endswith("fewer, as no job needs them") for line in said[1:])
    scaling.start(lab)
    assert conditions(lab) == []


def test_what_cannot_run_says_why_and_leaves_nothing(lab, moi, tmp_path):
    moi["CONTEXTS"]["lab"]["PYTHON"] = "/nowhere/python"
    with pytest.raises(ServiceError, match="/nowhere/python"):
        scaling.start(read_context("lab"))
    assert ManagedContext(lab).read_status().controller is None
    with pytest.raises(UsageError, match="has 0 or more engines, not -1"):
        scaling.start(lab, -1)
