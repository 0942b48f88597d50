"""A site and two hosts with engines, whose links are cut: over TLS, with a password and CURVE.

Cuts and what survives them are scaled down alike: a controller gives up an engine after 15 s here,
where it is ten minutes by default, and a lease is over after 12 s.
"""

import json
import os
import signal
import time

import pytest

from tests.clusters.conftest import make_project
from tests.clusters.hosts import (
    ADDRESSES,
    HOST_A,
    HOST_B,
    WEB,
    controller_ports,
    farm,
    for_seconds,
    inside,
    shut,
    without_link,
    without_ports,
)
from tests.clusters.labs import wait_for

HEARTBEAT_TIMEOUT, LEASE = 15, 12
# Seconds of a cut that is shorter than either.
SHORT = 8


@pytest.fixture(scope="module")
def hosts(directory):
    (directory / "hosts").mkdir()
    with farm(directory / "hosts") as found:
        yield found


@pytest.fixture(scope="module")
def project(directory, hosts):
    context = {
        "LAUNCHER": "ssh",
        "HOSTS": {ADDRESSES[HOST_A]: 1, ADDRESSES[HOST_B]: 1},
        "ENGINES": 2,
        "OPTIONS": f"-F {hosts.ssh_config} -o ConnectTimeout=3",
        "ADDRESS": ADDRESSES[WEB],
        "HEARTBEAT_TIMEOUT": HEARTBEAT_TIMEOUT,
    }
    contexts = {"default": {"LAUNCHER": "local", "ENGINES": 1}, "farm": context}
    path = directory / f"project-{time.monotonic_ns()}"
    made = make_project(
        path,
        hosts.redis_url,
        contexts,
        prefix=inside(WEB),
        settings={"LEASE": LEASE, "LINGER": 0.1},
    )
    for project in made:
        project.cluster("start", "farm", "--wait=90")
        yield project


def engines(project):
    """Return the ids of the engines by their hosts."""
    found = project.status("farm")["engines"]
    return {each["slot"]["host"]: each["engine"] for each in found if each["slot"]}


def slots(project):
    """Return the ids of the slots, which begin with process ids."""
    return [each["slot"]["id"] for each in project.status("farm")["engines"] if each["slot"]]


def ports(project):
    """Return the ports of the controller."""
    file = ".moi/clusters/farm/controller/security/ipcontroller-engine.json"
    return controller_ports(project.directory / file)


def all_ports(project):
    """Return all of them in one list."""
    return sorted({port for each in ports(project).values() for port in each})


def busy(project, seconds):
    """Have both engines at work for so long."""
    load = project.submit("farm", 2, seconds)
    load.wait_until_all_run()
    return load


def held(project):
    """Have both at work until they are released."""
    load = project.hold("farm", 2)
    load.wait_until_all_run()
    return load


def test_what_goes_from_host_to_host_is_encrypted(project, hosts):
    file = ".moi/clusters/farm/controller/security/ipcontroller-engine.json"
    assert json.loads((project.directory / file).read_text())["curve_serverkey"]
    assert hosts.redis_url.startswith("rediss://")
    results = busy(project, 6).results()
    assert {each["result"]["host"] for each in results} == {HOST_A, HOST_B}


def test_a_cut_from_the_controller_costs_nothing_while_it_is_short(project):
    before = engines(project)
    load = busy(project, SHORT / 2)
    with without_ports(HOST_A, WEB, all_ports(project)):
        for_seconds(SHORT)
    assert load.states() == ["success", "success"]
    project.wait_for_conditions("farm", "idle", "idle")
    assert engines(project) == before
    assert project.submit("farm", 2, 1).states() == ["success", "success"]


def test_an_engine_that_the_controller_has_given_up_ends_its_job_then_itself(project):
    before = engines(project)
    [slot] = [each for each in slots(project) if each.endswith(f"@{ADDRESSES[HOST_A]}")]
    load = held(project)
    with without_ports(HOST_A, WEB, all_ports(project)):
        # It is at work, by what Redis says, and no engine of the controller any more.
        project.wait_for_conditions("farm", "busy", "leaving")
        load.release()
        assert load.states() == ["success", "success"]
    project.wait_for_conditions("farm", "idle", "idle")
    after = engines(project)
    assert after[ADDRESSES[HOST_A]] != before[ADDRESSES[HOST_A]]
    assert "has given up this engine" in project.cluster("logs", "farm", slot)
    assert after[ADDRESSES[HOST_B]] == before[ADDRESSES[HOST_B]]
    assert project.submit("farm", 2, 1).states() == ["success", "success"]


def test_a_job_whose_host_reaches_nothing_is_written_when_it_can_be(project):
    before = engines(project)
    load = busy(project, SHORT / 2)
    with without_link(HOST_A):
        for_seconds(SHORT)
    assert load.states() == ["success", "success"]
    project.wait_for_conditions("farm", "idle", "idle")
    assert engines(project) == before


def test_a_host_that_reaches_nothing_for_longer_than_a_lease_has_lost_its_job(project):
    before = engines(project)
    load = held(project)
    with without_link(HOST_A):
        wait_for(lambda: load.count("lost") == 1)
        # The controller gives up the engine somewhat later.
        wait_for(lambda: before[ADDRESSES[HOST_A]] not in engines(project).values())
        load.release()
    results = load.results()
    assert sorted(each["state"] for each in results) == ["lost", "success"]
    [kept] = [each for each in results if each["state"] == "success"]
    assert kept["result"]["host"] == HOST_B
    project.wait_for_conditions("farm", "idle", "idle")
    assert engines(project)[ADDRESSES[HOST_A]] != before[ADDRESSES[HOST_A]]
    # What the engine of A wrote of it later has changed nothing.
    assert [each["state"] for each in load.look()] == [each["state"] for each in results]
    assert project.submit("farm", 2, 1).states() == ["success", "success"]


def test_a_host_that_ssh_does_not_reach_is_left_alone_and_others_are_looked_after(project):
    before = engines(project)
    a, b = ADDRESSES[HOST_A], ADDRESSES[HOST_B]
    load = held(project)
    with shut(HOST_A, 22):
        [killed] = [s for s in slots(project) if s.endswith(f"@{b}")]
        os.killpg(int(killed.partition("@")[0]), signal.SIGKILL)
        wait_for(lambda: load.count("lost") == 1 and killed not in slots(project))
        found = {each["slot"]["host"]: each for each in project.status("farm")["engines"]}
        assert found[a]["condition"] == "busy"
        assert found[a]["slot"]["reason"] == "its host does not answer"
    load.release()
    assert sorted(load.states()) == ["lost", "success"]
    project.wait_for_conditions("farm", "idle", "idle")
    assert engines(project)[a] == before[a] and engines(project)[b] != before[b]


def test_work_finds_the_other_host_when_a_port_is_blocked(project):
    project.wait_for_conditions("farm", "idle", "idle")
    with without_ports(HOST_A, WEB, ports(project)["task"]):
        results = project.submit("farm", 6, 1).results()
    assert {(each["state"], each["result"]["host"]) for each in results} == {("success", HOST_B)}
    project.wait_for_conditions("farm", "idle", "idle")
    assert project.submit("farm", 2, 1).states() == ["success", "success"]
