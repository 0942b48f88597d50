"""The server that starts job processes, and what becomes of them when somebody dies."""

import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import psutil
import pytest

from moi_django.engine import fork_client as module
from moi_django.engine import supervisor
from moi_django.engine.fork_client import ForkServer, JobProcess
from moi_django.engine.fork_server import START
from moi_django.engine.job_output import unread_bytes
from moi_django.engine.supervisor import Supervisor
from moi_django.exceptions import NoProcess
from moi_django.models import State
from tests.helpers import odd_jobs
from tests.helpers.job_processes import (
    Notes,
    descriptors_left,
    is_alive,
    make_task,
    open_descriptors,
    run_job,
)
from tests.helpers.processes import ROOT, wait_for

ENGINE = """
import sys, threading
from moi_django.engine.fork_client import ForkServer
from tests.helpers import odd_jobs
from tests.helpers.job_processes import run_job
server = ForkServer()
def leave_and_hold(path):
    odd_jobs.leave_daemon(path)
    odd_jobs.hold()
# By a thread that ends.
starter = threading.Thread(target=server.prepare)
starter.start()
starter.join()
run_job(server, leave_and_hold, sys.argv[1])
"""


@pytest.fixture
def server():
    server = ForkServer()
    yield server
    server.close()


def below(process):
    return [each.pid for each in process.children(recursive=True)]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("is_frozen", [False, True])
def test_when_the_engine_dies_all_ends(tmp_path, number, is_frozen):
    path = tmp_path / "pid"
    engine = psutil.Popen([sys.executable, "-c", ENGINE, str(path)], cwd=ROOT)
    wait_for(path.exists)
    # The server, the job and its daemon.
    pids = wait_for(lambda: len(found := below(engine)) == 3 and found)
    if is_frozen:
        engine.children()[0].suspend()
    engine.send_signal(number)
    engine.wait()
    begun = time.monotonic()
    wait_for(lambda: not any(map(is_alive, pids)))
    assert time.monotonic() - begun < 10


def test_a_server_that_was_killed_is_started_anew(server):
    process = server.take()
    pid = server._server.pid
    ends = []
    attempt = Supervisor(process, make_task(odd_jobs.hold), Notes())
    thread = threading.Thread(target=lambda: ends.append(attempt.run()))
    thread.start()
    os.kill(pid, signal.SIGKILL)
    thread.join()
    assert (
        ends[0].state is State.LOST
        and ends[0].result == "The fork server was killed, or does not answer."
    )
    wait_for(lambda: not is_alive(process.pid))
    end, _ = run_job(server, abs, -1)
    assert end.result == 1 and server._server.pid != pid


def run_and_clear_up(server, leave_and_kill, path):
    """Let a job kill its server; return the process that it has left, as it wrote to `path`."""
    end, _ = run_job(server, leave_and_kill, str(path))
    assert end.state is State.LOST
    server.clear_up()
    return int(path.read_text())


def test_a_server_that_was_killed_leaves_nothing(server, tmp_path):
    def leave_and_kill(path):
        odd_jobs.leave_daemon(path)
        os.kill(os.getppid(), signal.SIGKILL)
        odd_jobs.hold()

    pid = run_and_clear_up(server, leave_and_kill, tmp_path / "pid")
    wait_for(lambda: not is_alive(pid))
    assert pid not in {process.pid for process in psutil.Process().children()}


def test_a_server_that_was_killed_leaves_nothing_that_was_started_without_an_environment(
    server, tmp_path
):
    def leave_and_kill(path):
        program = ["sh", "-c", f"echo $$ > {path}; exec sleep 600"]
        subprocess.Popen(program, env={"PATH": os.environ["PATH"]})
        wait_for(lambda: os.path.exists(path) and open(path).read())  # noqa: SIM115
        os.kill(os.getppid(), signal.SIGKILL)
        odd_jobs.hold()

    pid = run_and_clear_up(server, leave_and_kill, tmp_path / "pid")
    wait_for(lambda: not is_alive(pid))


# A process needs eight.
@pytest.mark.parametrize("left", range(8))
def test_a_shortage_of_this_process_leaves_the_server_alone(server, left):
    run_job(server, abs, -1)
    pid = server._server.pid
    with descriptors_left(left) as before, pytest.raises(NoProcess):
        server.take()
    assert open_descriptors() == before
    assert run_job(server, abs, -1)[0].result == 1 and server._server.pid == pid


def test_a_spare_process_that_could_not_be_started_is_no_reason_against_another(server):
    run_job(server, abs, -1)
    pid = server._server.pid
    control, theirs = socket.socketpair()
    with control, theirs:
        server._spare = JobProcess(control)
        _, descriptors, _, _ = socket.recv_fds(theirs, 1, 4)
        os.write(descriptors[-1], START.pack(-errno.EAGAIN))
    for each in descriptors:
        os.close(each)
    assert run_job(server, abs, -1)[0].result == 1 and server._server.pid == pid


def test_a_server_that_is_frozen_is_replaced(server, monkeypatch):
    monkeypatch.setattr(module, "FORK_TIMEOUT", 0.5)
    run_job(server, abs, -1)
    pid = server._server.pid
    os.kill(pid, signal.SIGSTOP)
    ends = [run_job(server, abs, -1)[0].result for _ in range(3)]
    assert ends == [1, 1, 1] and not is_alive(pid)


def test_the_end_of_a_job_is_noticed_though_the_server_is_frozen(server, monkeypatch):
    monkeypatch.setattr(supervisor, "KILL_TIMEOUT", 0.2)
    process = server.take()
    os.kill(server._server.pid, signal.SIGSTOP)
    end = Supervisor(process, make_task(os._exit, 3), Notes()).run()
    assert end.state is State.FAILED
    assert end.result.startswith("The process of the job is gone, or has closed its socket")


def test_a_spare_process_that_has_died_is_not_used(server):
    process, children = server.take(), psutil.Process(server._server.pid).children
    server.make_spare()
    started = server._spare.exit.fileno()
    wait_for(lambda: unread_bytes(started) == 8)
    [spare] = [child for child in children() if child.pid != process.pid]
    process.close()
    spare.kill()
    # How it has started, and how it has ended.
    wait_for(lambda: unread_bytes(started) > 8)
    assert run_job(server, abs, -1)[0].result == 1


def test_threads_share_a_server(server):
    results = []

    def run_some():
        results.extend(run_job(server, abs, -number)[0].result for number in range(20))

    threads = [threading.Thread(target=run_some) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == sorted([*range(20)] * 3)


def test_a_process_that_nobody_asks_for_is_ended(server):
    process = server.take()
    process.close()
    wait_for(lambda: not is_alive(process.pid))


def test_what_lies_of_having_left_nothing_leaves_nothing(server, tmp_path):
    path = tmp_path / "pid"

    def lie():
        from moi_django.engine import job_process

        odd_jobs.leave_daemon(str(path))
        os._exit(job_process.CLEAN)

    run_job(server, lie)
    wait_for(lambda: not is_alive(int(path.read_text())))


def test_nothing_of_the_engine_leaks(monkeypatch):
    monkeypatch.setenv("IPP_CURVE_SECRETKEY", "secret")
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    kept = os.open(os.devnull, os.O_RDONLY)
    os.set_inheritable(kept, True)
    server = ForkServer()
    try:
        found = run_job(server, odd_jobs.environment)[0].result
        assert "IPP_CURVE_SECRETKEY" not in found and "MPLBACKEND" not in found
        assert "secret" not in found.values()
        end, _ = run_job(server, odd_jobs.hold, timeout=0.1, grace=10)
        assert "KeyboardInterrupt" in end.result
        assert len(run_job(server, odd_jobs.open_descriptors)[0].result) == 4
    finally:
        server.close()
        os.close(kept)
        signal.signal(signal.SIGINT, before)


def test_a_module_that_cannot_be_imported_ahead_does_no_harm(capfd):
    server = ForkServer(["no_such_module", "decimal"])
    assert run_job(server, odd_jobs.imported, "decimal")[0].result == ["decimal"]
    server.close()
    assert "No module named 'no_such_module'" in capfd.readouterr().err


def test_django_is_set_up_or_says_why_not(monkeypatch):
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "no_such_settings")
    server = ForkServer()
    end, _ = run_job(server, abs, -1)
    server.close()
    assert end.state is State.FAILED
    assert end.result.startswith("Django cannot be set up for jobs.")
    assert "No module named 'no_such_settings'" in end.result
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "tests.settings")
    server = ForkServer()

    def count_tables():
        from django.db import connection

        with connection.cursor() as cursor:
            return len(connection.introspection.table_names(cursor))

    assert run_job(server, count_tables)[0].result >= 0
    server.close()


def test_a_closed_server_leaves_nothing_and_may_be_used_again(server):
    run_job(server, abs, -1)
    pids = [server._server.pid, *below(psutil.Process(server._server.pid))]
    server.close()
    assert not any(map(is_alive, pids))
    assert run_job(server, abs, -1)[0].result == 1


def test_it_can_be_used_by_a_program_without_moi_on_its_path(tmp_path):
    """The server finds modules where its client does."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); " + ENGINE.replace(
        "run_job(server, leave_and_hold, sys.argv[1])",
        "print(run_job(server, abs, -1)[0].result); server.close()",
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert ran.stdout == "1\n", ran.stderr
