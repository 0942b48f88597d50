"""What is kept of a context on its host: files of its directory, processes of its controller."""

import os
import signal

import psutil
import pytest

from moi_django.contrib.clusters import host_processes, scaling
from moi_django.contrib.clusters.context_settings import read_context
from moi_django.contrib.clusters.context_status import ManagedContext
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
