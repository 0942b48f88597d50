"""Clusters of Grid Engine, with one host that has room for eight."""

from tests.clusters.labs import run, wait_for

LAB = "grid_engine"
USED = ("grid", "no-grid")


def test_engines_come_and_go_and_nothing_is_lost(project):
    project.cluster("start", "grid", "--wait=90")
    load = project.hold("grid", 8)
    project.cluster("scale", "grid", "4", "--wait=90")
    assert "leaving: 3 engines" in project.cluster("scale", "grid", "1")
    load.release()
    assert load.states() == ["success"] * 8
    project.wait_for_conditions("grid", "idle")


def test_what_is_deleted_in_mid_job_is_lost_at_once_and_replaced(project):
    load = project.hold("grid", 1)
    project.wait_for_conditions("grid", "busy")
    [engine] = project.status("grid")["engines"]
    job, _, index = engine["slot"]["id"].partition(".")
    run("qdel", job, "-t", index)
    assert load.states() == ["lost"]
    project.wait_for_conditions("grid", "idle")


def test_what_is_refused_is_said_in_the_words_of_grid_engine_and_leaves_nothing(project):
    ran = project.call("moi", "cluster", "start", "--context=no-grid")
    assert ran.returncode == 1
    assert "nowhere" in ran.stderr
    status = project.status("no-grid")
    assert (status["controller"], status["wanted"], status["engines"]) == (None, None, [])


def test_what_finds_no_room_says_why_and_is_dropped_first(project):
    project.cluster("start", "grid", "9")
    wait_for(lambda: project.conditions("grid") == [*["idle"] * 8, "pending"])
    *_, pending = project.status("grid")["engines"]
    assert "full" in pending["slot"]["reason"]
    assert pending["slot"]["id"] in project.cluster("scale", "grid", "8")
    project.wait_for_conditions("grid", *["idle"] * 8)


def test_nobody_reads_the_key_of_the_cluster_from_what_the_batch_system_shows(project):
    key = (
        project.directory / ".moi/clusters/grid/controller/security/ipcontroller-engine.json"
    ).read_text()
    shown = run("qstat", "-j", "*") + run("ps", "-eo", "args")
    assert "moi_django.contrib.clusters.engine" in shown
    assert "curve_serverkey" in key and "curve_serverkey" not in shown
    project.cluster("stop", "grid")
    project.wait_for_conditions("grid")
