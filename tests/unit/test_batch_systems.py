"""What batch systems answer: of Slurm and Grid Engine as they did, of others as manuals have it."""

import json
import os
import shlex

import pytest

from moi_django.contrib.clusters.batch_systems import (
    LSF,
    PBS,
    GridEngine,
    HTCondor,
    Slurm,
    duration,
)
from moi_django.contrib.clusters.context_settings import read_context
from moi_django.contrib.clusters.launchers import make_launcher
from moi_django.contrib.clusters.slots import Slot, SlotState
from moi_django.exceptions import ServiceError

PENDING, RUNNING, ENDING = SlotState.PENDING, SlotState.RUNNING, SlotState.ENDING


SQUEUE = "JOBID|STATE|NODELIST|TIME|TIME_LEFT|REASON\n"


def test_slurm():
    said = SQUEUE + (
        "30_10|PENDING||0:00|UNLIMITED|Resources\n"
        "30_1|RUNNING|n1|0:01|UNLIMITED|None\n"
        "31_2|PENDING||0:00|5:00|ReqNodeNotAvail, UnavailableNodes:n[1|2]\n"
        "31_1|COMPLETING|n3|1-02:00:01|4:59|None\n"
        "32_1|CONFIGURING|n4|0:00|5:00|None\n"
    )
    assert Slurm().parse(said) == [
        Slot("30_10", PENDING, "Resources"),
        Slot("30_1", RUNNING, "", "n1", 1.0),
        Slot("31_2", PENDING, "ReqNodeNotAvail, UnavailableNodes:n[1|2]", left=300.0),
        Slot("31_1", ENDING, "", "n3", 93601.0, 299.0),
        Slot("32_1", PENDING, "configuring", "n4", left=300.0),
    ]
    assert Slurm().parse(SQUEUE) == Slurm().parse(f"Welcome to the cluster\n{SQUEUE}") == []
    assert Slurm().read_id("57\n") == Slurm().read_id("57;cluster\n") == "57"


QSTAT = """<?xml version='1.0'?>
<job_info  xmlns:xsd="http://arc.liv.ac.uk/repos/darcs/sge/source/dist/util/resources/schemas/qstat/qstat.xsd">
  <queue_info>
    <job_list state="running">
      <JB_job_number>2</JB_job_number>
      <JB_name>moi-x</JB_name>
      <state>r</state>
      <JAT_start_time>2026-11-27T16:17:58</JAT_start_time>
      <queue_name>lab@localhost</queue_name>
      <tasks>1</tasks>
    </job_list>
    <job_list state="running">
      <JB_job_number>2</JB_job_number>
      <JB_name>moi-x</JB_name>
      <state>dr</state>
      <queue_name>lab@localhost</queue_name>
      <tasks>2</tasks>
    </job_list>
    <job_list state="running">
      <JB_job_number>7</JB_job_number>
      <JB_name>moi-xy</JB_name>
      <state>r</state>
      <queue_name>lab@localhost</queue_name>
      <tasks>1</tasks>
    </job_list>
  </queue_info>
  <job_info>
    <job_list state="pending">
      <JB_job_number>2</JB_job_number>
      <JB_name>moi-x</JB_name>
      <state>qw</state>
      <queue_name></queue_name>
      <tasks>9</tasks>
    </job_list>
    <job_list state="pending">
      <JB_job_number>3</JB_job_number>
      <JB_name>moi-x</JB_name>
      <state>Eqw</state>
      <queue_name></queue_name>
      <tasks>1</tasks>
    </job_list>
  </job_info>
</job_info>
"""
QSTAT_REASON = """job_type:                   binary
scheduling info:            queue instance "lab@localhost" dropped because it is full
                            All queues dropped because of overload or full
"""


def test_grid_engine():
    running, ending, waiting, failed = GridEngine().parse(QSTAT, "moi-x")
    assert (running.id, running.state, running.host) == ("2.1", RUNNING, "localhost")
    assert running.age is not None
    assert (ending.id, ending.state) == ("2.2", ENDING)
    assert waiting == Slot("2.9", PENDING)
    assert failed == Slot("3.1", PENDING, "error state")
    reason = 'queue instance "lab@localhost" dropped because it is full'
    assert GridEngine().parse_reason(QSTAT_REASON) == reason
    assert GridEngine().parse_reason("error reason    1:          no such directory") == (
        "no such directory"
    )
    assert GridEngine().parse_reason("scheduling info is off") == ""
    assert GridEngine().read_id("2.1-10:1\n") == "2"


def test_pbs():
    jobs = {
        "12[].host": {"Job_Name": "moi-x", "job_state": "B"},
        "12[1].host": {
            "Job_Name": "moi-x",
            "job_state": "R",
            "exec_host": "n7/0",
            "resources_used": {"walltime": "00:01:02"},
        },
        "12[2].host": {"Job_Name": "moi-x", "job_state": "Q", "comment": "Not enough ncpus"},
        "12[3].host": {"Job_Name": "moi-x", "job_state": "X"},
        "14.host": {"Job_Name": "another", "job_state": "R"},
    }
    assert PBS().parse(json.dumps({"Jobs": jobs}), "moi-x") == [
        Slot("12[1]", RUNNING, "", "n7", 62.0),
        Slot("12[2]", PENDING, "Not enough ncpus"),
    ]
    assert PBS().parse("", "moi-x") == []
    assert PBS().read_id("12[].host\n") == "12[]"


def test_lsf():
    said = (
        "12|1|RUN|4*n7|62 second(s)|-\n"
        "12|2|PEND|-|-|Job slot limit reached;\n"
        "12|3|DONE|n7|9 second(s)|-\n"
    )
    assert LSF().parse(said) == [
        Slot("12.1", RUNNING, "", "n7", 62.0),
        Slot("12.2", PENDING, "Job slot limit reached;"),
    ]
    assert LSF().read_id("Job <12> is submitted to queue <normal>.\n") == "12"
    with pytest.raises(ServiceError, match="no such queue"):
        LSF().read_id("no such queue")


def test_htcondor():
    jobs = [
        {"ClusterId": 12, "ProcId": 0, "JobStatus": 2, "RemoteHost": "slot1@n7"},
        {"ClusterId": 12, "ProcId": 1, "JobStatus": 5, "HoldReason": "no such directory"},
        {"ClusterId": 12, "ProcId": 2, "JobStatus": 4},
    ]
    assert HTCondor().parse(json.dumps(jobs)) == [
        Slot("12.0", RUNNING, "", "n7"),
        Slot("12.1", PENDING, "no such directory"),
    ]
    assert HTCondor().parse("") == []
    assert HTCondor().read_id("12.0 - 12.3\n") == "12"


def test_times_of_all_kinds():
    said = ["59", "4:59", "1:02:03", "2-00:00:01", "UNLIMITED", "INVALID", ""]
    assert [duration(text) for text in said] == [59, 299, 3723, 172801, None, None, None]


NO_ANSWERS = ["", "\n", "maintenance until 8 o'clock\n", "<html>", "{", "5_1|RUNNING"]


@pytest.mark.parametrize("said", NO_ANSWERS)
@pytest.mark.parametrize("launcher", ["slurm", "sge"])
def test_what_is_no_answer_does_not_say_that_engines_are_gone(
    moi, tmp_path, monkeypatch, launcher, said
):
    program = tmp_path / {"slurm": "squeue", "sge": "qstat"}[launcher]
    program.write_text(f"#!/bin/sh\nprintf %s {shlex.quote(said)}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    moi["CONTEXTS"] = {"default": {}, "lab": {"LAUNCHER": launcher}}
    listing = make_launcher(read_context("lab"), tmp_path / "engine.json", ()).list_slots()
    [problem] = listing.problems
    assert problem.startswith(f"What {launcher} answers cannot be read: ")
    assert listing.slots == []
