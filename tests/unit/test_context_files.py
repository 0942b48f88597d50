"""What is kept of a context on its host: files of its directory, processes of its controller."""

import os
import signal
import time
from dataclasses import replace

import psutil
import pytest

from moi_django.contrib.clusters import host_processes, scaling
from moi_django.contrib.clusters.context_settings import read_context
from moi_django.contrib.clusters.context_status import ManagedContext
from moi_django.contrib.clusters.launchers import make_launcher
from moi_django.exceptions import ServiceError
from tests.helpers.processes import wait_for


@pytest.fixture
def lab(moi, tmp_path):
    """A context whose directory is there."""
    moi["STATE_DIR"] = tmp_path / "state"
    moi["CONTEXTS"] = {"default": {}, "lab": {"LAUNCHER": "local"}}
    context = read_context("lab")
    context.directory.mkdir(parents=True)
    return context


def start_head_with_part(context):
    """Start a process that leads a session with another one in it, both called as a controller."""
    name = f"--profile-dir={context.directory / 'controller'}"
    part = "sh -c 'sleep 60; :' part \"$1\" & wait"
    head = host_processes.start(["sh", "-c", part, "head", name], str(context.directory), "test")
    wait_for(lambda: len(host_processes.find(name)) == 2)
    return head, name


def test_parts_of_a_controller_that_live_on_without_it_are_none_and_are_ended(lab):
    managed = ManagedContext(lab)
    head, name = start_head_with_part(lab)
    assert managed.controller.pid == head.pid
    os.kill(head.pid, signal.SIGKILL)
    head.wait()
    assert len(host_processes.find(name)) == 1
    assert managed.controller.pid is None
    managed.controller.stop()
    wait_for(lambda: not host_processes.find(name))


@pytest.fixture
def log(lab):
    """Make the log of something, whose last line is so many days old."""

    def log(name, days):
        file = lab.directory / "log" / f"{name}.log"
        file.parent.mkdir(exist_ok=True)
        file.touch()
        then = time.time() - days * 86_400
        os.utime(file, (then, then))
        return file

    return log


def test_logs_of_what_ended_long_ago_are_removed_when_more_is_started(lab, log):
    kept = [log(f"engine-{os.getpid()}", 31), log("engine-4194305", 29), log("other-4194305", 31)]
    old = [log("engine-4194306", 31), log("engine-30_1", 31)]
    host_processes.start_all(str(lab.directory), [["true"]], "", {})
    assert [file.exists() for file in kept] == [True] * 3
    assert [file.exists() for file in old] == [False] * 2


def test_logs_of_batch_jobs_that_run_stay(lab, log, tmp_path, monkeypatch):
    """`squeue` and `sbatch` stand for those of a cluster."""
    programs = {
        "squeue": "echo 'JOBID|STATE|NODELIST|TIME|TIME_LEFT|REASON'\n"
        "echo '30_1|RUNNING|n1|0:01|UNLIMITED|None'",
        "sbatch": "cat > /dev/null; echo 31",
    }
    for name, does in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    running, ended = log("engine-30_1", 31), log("engine-30_2", 31)
    (engine_file := tmp_path / "engine.json").write_text("{}")
    assert make_launcher(replace(lab, launcher="slurm"), engine_file, ()).submit(1) == ["31"]
    assert (running.exists(), ended.exists()) == (True, False)


def test_a_context_that_runs_with_another_launcher_says_how_to_change_it(lab):
    head, _ = start_head_with_part(lab)
    try:
        (lab.directory / "launcher").write_text("slurm")
        with pytest.raises(ServiceError, match=r"runs with LAUNCHER 'slurm', .* say 'local': say"):
            ManagedContext(lab).require_same_launcher()
        for act in (scaling.start, scaling.stop):
            with pytest.raises(ServiceError, match="runs with LAUNCHER 'slurm'"):
                act(lab)
        assert psutil.pid_exists(head.pid)
    finally:
        ManagedContext(lab).controller.stop()
        head.wait()
    ManagedContext(lab).require_same_launcher()


@pytest.mark.parametrize("content", ["", "many", "3 of 4"])
def test_a_number_that_cannot_be_read_is_named_and_can_be_said_anew(lab, content):
    managed, file = ManagedContext(lab), lab.directory / "wanted"
    assert managed.wanted is None
    file.write_text(content)
    with pytest.raises(ServiceError, match=f"{file}: .*moi cluster scale N --context=lab"):
        assert managed.wanted
    managed.wanted = 2
    assert managed.wanted == 2


def test_a_state_dir_where_nothing_can_be_kept_is_named(moi, tmp_path):
    moi["CONTEXTS"] = {"default": {}, "lab": {"LAUNCHER": "local"}}
    (tmp_path / "file").touch()
    for directory in (tmp_path / "file", "/proc/moi"):
        moi["STATE_DIR"] = directory
        with (
            pytest.raises(ServiceError, match=r"MOI\['STATE_DIR'\]: .*Errno"),
            scaling.locked(read_context("lab")),
        ):
            pass
