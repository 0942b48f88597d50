"""Clusters of processes: of this host, of two hosts by ssh that are this one, and of mpiexec."""

import os
import signal
import time

import psutil
import pytest

from tests.clusters.conftest import CONTEXTS, make_project
from tests.clusters.labs import run, wait_for


@pytest.fixture(scope="module")
def project(directory, redis_url, ssh_config):
    ssh = {"LAUNCHER": "ssh", "OPTIONS": f"-F {ssh_config}"}
    contexts = {name: CONTEXTS[name] for name in ("default", "world", "refused")}
    contexts |= {
        "farm": {**ssh, "HOSTS": {"hosta": 2, "hostb": 1}, "ENGINES": 1},
        "partly": {**ssh, "HOSTS": {"hosta": 1, "nowhere.invalid": 1}, "ENGINES": 2},
        "nowhere": {**ssh, "HOSTS": {"nowhere.invalid": 1}, "ENGINES": 1},
    }
    path = directory / f"project-{time.monotonic_ns()}"
    yield from make_project(path, redis_url, contexts)


def test_hosts_share_engines_and_get_no_file_that_commands_them(project, ssh_config):
    project.cluster("start", "farm", "--wait=90")
    load = project.hold("farm", 8)
    project.cluster("scale", "farm", "3", "--wait=90")
    hosts = sorted(each["slot"]["host"] for each in project.status("farm")["engines"])
    assert hosts == ["hosta", "hosta", "hostb"]
    kept = list((ssh_config.parent / "home/.moi-engines").glob("farm-*/**/*"))
    assert kept and not [file for file in kept if "client" in file.name]
    assert "curve_serverkey" not in run("ps", "-eo", "args")
    assert "leaving: 2 engines" in project.cluster("scale", "farm", "1")
    load.release()
    assert load.states() == ["success"] * 8
    [left] = wait_for(lambda: len(found := project.status("farm")["engines"]) == 1 and found)
    assert "Completed registration" in project.cluster("logs", "farm", left["slot"]["id"])


def test_there_are_no_more_engines_than_hosts_have_room_for(project):
    ran = project.call("moi", "cluster", "scale", "4", "--context=farm")
    assert (ran.returncode, ran.stderr) == (2, "Context farm has 0 to 3 engines, not 4.\n")


def test_a_host_that_cannot_be_reached_is_named(project):
    ran = project.call("moi", "cluster", "start", "--context=nowhere")
    assert ran.returncode == 1
    assert "nowhere.invalid" in ran.stderr
    assert project.status("nowhere")["controller"] is None


def test_hosts_that_answer_go_on_without_one_that_does_not(project):
    assert "left out: nowhere.invalid: ssh" in project.cluster("start", "partly")
    project.wait_for_conditions("partly", "idle")
    status = project.status("partly")
    [engine] = status["engines"]
    assert (engine["slot"]["host"], status["wanted"]) == ("hosta", 2)
    assert "nowhere.invalid" in str(status["problems"])
    os.kill(first_process(project, "partly"), signal.SIGKILL)
    wait_until_replaced(project, "partly", engine["engine"])
    project.cluster("stop", "partly")
    project.wait_for_conditions("partly")


def first_process(project, context):
    """Return the id of the process that the first slot of a context names."""
    slot = project.status(context)["engines"][0]["slot"]["id"]
    return int(slot.rpartition("/")[2].partition("@")[0])


def wait_until_replaced(project, context, killed):
    """Wait until the only engine of a context is another one, which its controller has."""

    def is_replaced():
        found = [each["engine"] for each in project.status(context)["engines"]]
        return len(found) == 1 and found[0] not in (None, killed)

    wait_for(is_replaced)


def test_engines_of_mpi_begin_and_end_together(project):
    project.cluster("start", "world", "--wait=90")
    assert project.conditions("world") == ["idle"] * 3
    assert project.submit("world", 3, 1).states() == ["success"] * 3
    ran = project.call("moi", "cluster", "scale", "2", "--context=world")
    assert ran.returncode == 2 and "keeps its size" in ran.stderr
    # One that dies takes the others along, and their jobs; then there is another world.
    load = project.hold("world", 1)
    load.wait_until_all_run()
    mpiexec = first_process(project, "world")
    os.kill(psutil.Process(mpiexec).children()[0].pid, signal.SIGKILL)
    assert load.states() == ["lost"]
    project.wait_for_conditions("world", "idle", "idle", "idle")
    assert first_process(project, "world") != mpiexec
    project.cluster("stop", "world")
    project.wait_for_conditions("world")


def test_what_mpiexec_refuses_is_said_in_its_words(project):
    ran = project.call("moi", "cluster", "start", "--context=refused")
    assert ran.returncode == 1
    assert "mpiexec has detected an attempt to run as root" in ran.stderr
    assert project.status("refused")["controller"] is None


def test_an_engine_that_was_killed_is_replaced(project):
    project.cluster("start", "default", "--wait=90")
    [engine] = project.status("default")["engines"]
    os.kill(first_process(project, "default"), signal.SIGKILL)
    wait_until_replaced(project, "default", engine["engine"])
    assert project.submit("default", 1, 0).states() == ["success"]
    project.cluster("stop", "default", "--now")
    assert project.conditions("default") == []
