"""Clusters of Slurm, with a controller and three virtual nodes of four CPUs."""

import json
import subprocess
import time

import pytest

from tests.clusters.labs import run, wait_for

LAB = "slurm"
USED = ("lab", "large", "elastic", "short", "nowhere")


@pytest.fixture(scope="module", autouse=True)
def short_load(project):
    """Jobs that outlast the wall time of an engine, which goes on while other tests run."""
    project.cluster("start", "short")
    return project.submit("short", 5, 10)


def test_engines_come_and_go_under_load_and_nothing_is_lost(project):
    assert "batch job" in project.cluster("start", "lab", "--wait=90")
    assert project.conditions("lab") == ["idle", "idle"]
    assert "2 idle of 2 engines" in project.cluster("status", "lab")
    load = project.hold("lab", 20)
    project.cluster("scale", "lab", "6", "--wait=90")
    project.wait_for_conditions("lab", *["busy"] * 6)
    said = project.cluster("scale", "lab", "1")
    assert "leaving: 5 engines" in said and "5 of them once their jobs have ended" in said
    project.wait_for_conditions("lab", "busy", *["leaving"] * 5)
    load.release()
    assert load.states() == ["success"] * 20
    project.wait_for_conditions("lab", "idle")
    [engine] = project.status("lab")["engines"]
    assert engine["slot"]["host"] in ("n1", "n2")
    assert 0 < engine["slot"]["left"] <= 1800


def test_two_terminals_at_once_do_not_both_ask_for_what_is_missing(project):
    project.cluster("start", "lab", "--wait=90")
    project.cluster("scale", "lab", "2", "--wait=90")
    arguments = ["manage.py", "moi", "cluster", "scale", "4", "--context=lab"]
    both = [project.start(*arguments, stdout=subprocess.PIPE) for _ in range(2)]
    written = [each.communicate()[0] for each in both]
    assert sorted("batch job" in text for text in written) == [False, True]
    project.wait_for_conditions("lab", *["idle"] * 4)


def test_jobs_on_a_node_that_goes_down_are_lost_at_once_and_its_engines_replaced(project):
    project.cluster("start", "lab", "6", "--wait=90")
    load = project.hold("lab", 6)
    project.wait_for_conditions("lab", *["busy"] * 6)
    # Slurm has placed them, some on each of the two.
    on_n2 = sum(each["slot"]["host"] == "n2" for each in project.status("lab")["engines"])
    began = time.monotonic()
    run("scontrol", "update", "nodename=n2", "state=down", "reason=test")
    wait_for(lambda: load.count("lost") == on_n2)
    assert time.monotonic() - began < 45
    load.release()
    assert sorted(load.states()) == ["lost"] * on_n2 + ["success"] * (6 - on_n2)
    project.wait_for_conditions("lab", *["idle"] * 6)


def test_an_engine_that_is_cancelled_is_known_to_be_gone_long_before_its_heartbeat_is_missed(
    project,
):
    project.cluster("start", "lab", "2", "--wait=90")
    project.cluster("scale", "lab", "2")
    project.wait_for_conditions("lab", "idle", "idle")
    [first, _] = project.status("lab")["engines"]
    run("scancel", first["slot"]["id"])

    def is_replaced():
        engines = project.status("lab")["engines"]
        known = {each["engine"] for each in engines}
        return first["engine"] not in known and project.conditions("lab") == ["idle", "idle"]

    wait_for(is_replaced)


def test_jobs_that_run_end_where_they_are_when_a_cluster_stops(project):
    project.cluster("start", "lab", "--wait=90")
    project.cluster("scale", "lab", "2", "--wait=90")
    project.wait_for_conditions("lab", "idle", "idle")
    load = project.hold("lab", 2)
    project.wait_for_conditions("lab", "busy", "busy")
    said = project.cluster("stop", "lab")
    assert "2 of them once their jobs have ended" in said
    assert project.status("lab")["controller"] is None
    assert load.count("running") == 2
    load.release()
    assert load.states() == ["success"] * 2
    project.wait_for_conditions("lab")


def test_what_is_refused_is_said_in_the_words_of_slurm_and_leaves_nothing(project):
    ran = project.call("moi", "cluster", "start", "--context=nowhere")
    assert ran.returncode == 1
    assert "invalid partition specified: nowhere" in ran.stderr
    [status] = json.loads(project.cluster("status", "nowhere", "--json"))
    assert status == project.status("nowhere")
    assert (status["controller"], status["wanted"], status["engines"]) == (None, None, [])


def test_a_context_is_a_place_and_what_does_not_fit_says_why_it_waits(project):
    project.cluster("start", "large", "4")
    wait_for(lambda: project.conditions("large") == ["idle", "idle", "idle", "pending"])
    [pending] = [e for e in project.status("large")["engines"] if e["condition"] == "pending"]
    assert pending["slot"]["reason"] == "Resources"
    [result] = project.submit("large", 1, 0).results()
    assert result["result"]["node"] == "n3"
    assert "cancelled" in project.cluster("scale", "large", "3")
    assert project.conditions("large") == ["idle"] * 3
    assert "leaving: 3 engines" in project.cluster("scale", "large", "0")
    project.wait_for_conditions("large")


def test_an_elastic_context_has_engines_while_jobs_need_them_and_none_before_and_after(project):
    project.cluster("start", "elastic")
    assert project.conditions("elastic") == []
    load = project.hold("elastic", 4)
    project.wait_for_conditions("elastic", *["busy"] * 3, "pending")
    assert "of 4 engines (0 to 4)" in project.cluster("status", "elastic")
    load.release()
    assert load.states() == ["success"] * 4
    project.wait_for_conditions("elastic")
    assert project.status("elastic")["wanted"] == 0


def test_engines_leave_before_their_time_is_over_and_are_replaced(project, short_load):
    assert short_load.states() == ["success"] * 5
    logs = (project.directory / ".moi/clusters/short/log").glob("engine-*.log")
    told = [file for file in logs if "The wall time ends in 30 s" in file.read_text()]
    assert told
    slot = told[0].stem.removeprefix("engine-")
    assert "The wall time ends" in project.cluster("logs", "short", slot)
