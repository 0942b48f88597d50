"""Every attempt comes to an end that is told truly, whatever its process does."""

import gc
import os
import signal
import struct
import threading
import time

import psutil
import pytest

from moi_django.engine import messages
from moi_django.engine.departure import leaving
from moi_django.engine.supervisor import InterruptReason, Supervisor
from moi_django.models import State
from tests.helpers import odd_jobs
from tests.helpers.job_processes import LIMIT, Notes, is_alive, make_task, run_job, timing_out
from tests.helpers.processes import in_time, wait_for

TIMED_OUT = "TimeoutError: the job took longer than its {:g} s."


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (signal.SIGSEGV, "killed by signal 11 (SIGSEGV)."),
        (signal.SIGKILL, "killed by signal 9 (SIGKILL): out of memory? It had up to "),
        (signal.SIGTERM, "killed by signal 15 (SIGTERM)."),
    ],
)
def test_an_end_by_a_signal(fork_server, number, told):
    end, _ = run_job(fork_server, odd_jobs.end_with_signal, int(number))
    assert end.state is State.FAILED and told in end.result
    assert end.peak_memory > 1_000_000 and end.cpu_seconds > 0
    if number == signal.SIGSEGV:
        assert "in end_with_signal" in end.result  # says faulthandler


def test_an_end_by_what_ends_the_engine_is_no_fault_of_the_job(fork_server):
    leaving.set()
    try:
        end, _ = run_job(fork_server, odd_jobs.end_with_signal, int(signal.SIGTERM))
        assert end.state is State.LOST and "killed by signal 15 (SIGTERM)." in end.result
        end, _ = run_job(fork_server, odd_jobs.end_with_signal, int(signal.SIGKILL))
        assert end.state is State.FAILED
    finally:
        leaving.clear()


def test_an_end_without_a_result(fork_server):
    end, notes = run_job(fork_server, odd_jobs.print_and_leave, 3)
    assert end.result == (
        "It printed last:\nso far so good\n\nThe job ended with exit code 3 and no result."
    )
    assert notes.text() == "so far so good\n"
    for code in (0, 93):
        end, _ = run_job(fork_server, odd_jobs.print_and_leave, code)
        assert end.state is State.FAILED and f"exit code {code} and no result" in end.result


def test_a_job_that_closes_its_socket_is_not_waited_for(fork_server):
    end, _ = run_job(fork_server, odd_jobs.close_descriptors)
    assert "the job has closed the socket to its supervisor" in end.result


@pytest.mark.parametrize("function", [odd_jobs.search, odd_jobs.hold, odd_jobs.catch_interrupt])
def test_a_timeout_interrupts(fork_server, function):
    # Time enough to get there, where the traceback says where.
    timeout = 3 if function is odd_jobs.hold else 0.2
    end, _ = run_job(fork_server, function, timeout=timeout, grace=60)
    assert end.state is State.FAILED and end.result.endswith(TIMED_OUT.format(timeout))
    assert end.reason is InterruptReason.TIMEOUT
    if function is odd_jobs.hold:
        assert "in hold" in end.result


@pytest.mark.parametrize("function", [odd_jobs.ignore_signals, odd_jobs.block_signals])
def test_a_job_that_heeds_no_signal_is_killed(fork_server, tmp_path, function):
    path, begun = tmp_path / "deaf", time.monotonic()
    task = make_task(function, str(path))
    supervisor = Supervisor(fork_server.take(), task, Notes(), timeout=60, grace=0.2)
    with timing_out(supervisor, path.exists):
        end = supervisor.run()
    assert end.result == TIMED_OUT.format(60)
    assert time.monotonic() - begun < 20


def test_an_interrupt_from_another_thread(fork_server):
    supervisor = Supervisor(fork_server.take(), make_task(odd_jobs.hold), Notes())
    thread = threading.Thread(target=supervisor.interrupt, args=[InterruptReason.UNWANTED])
    thread.start()  # it may come before the start
    end = supervisor.run()
    thread.join()
    assert end.reason is InterruptReason.UNWANTED and end.state is State.FAILED
    assert end.result.endswith("KeyboardInterrupt")
    supervisor.interrupt(InterruptReason.UNWANTED)  # nobody minds


def test_an_interrupt_that_comes_early_is_not_lost(fork_server):
    for _ in range(20):
        supervisor = Supervisor(fork_server.take(), make_task(odd_jobs.hold), Notes(), grace=60)
        supervisor.interrupt(InterruptReason.UNWANTED)
        assert supervisor.run().result.endswith("KeyboardInterrupt")


@pytest.mark.parametrize("timeout", [30 * 86_400.0, 1e9])
def test_a_job_may_have_more_time_than_systems_wait_for(fork_server, timeout):
    end, _ = run_job(fork_server, abs, -1, timeout=timeout)
    assert end.result == 1


class SlowNotes(Notes):
    """A listener whose storage keeps nothing before it is let go."""

    def __init__(self):
        super().__init__()
        self.is_busy, self.is_free = threading.Event(), threading.Event()

    def attach(self, name, content):
        self.is_busy.set()
        assert self.is_free.wait(60)
        super().attach(name, content)


@pytest.fixture
def slow():
    notes = SlowNotes()
    yield notes
    notes.is_free.set()


def test_time_goes_on_while_a_file_is_kept(fork_server, slow):
    job, limits = (odd_jobs.attach_some, "nowhere"), {"timeout": 0.3, "grace": 0.2}
    end, _ = in_time(3, lambda: run_job(fork_server, *job, listener=slow, **limits))
    assert end.result.endswith(TIMED_OUT.format(0.3)) and not slow.files


def test_a_job_can_be_stopped_while_a_file_is_kept(fork_server, slow):
    task = make_task(odd_jobs.attach_some, "nowhere")
    supervisor = Supervisor(fork_server.take(), task, slow, grace=0.2)

    def stop():
        slow.is_busy.wait()
        supervisor.interrupt(InterruptReason.UNWANTED)

    thread = threading.Thread(target=stop)
    thread.start()
    assert supervisor.run().reason is InterruptReason.UNWANTED
    thread.join()


def test_output_comes_while_a_file_is_kept(fork_server, slow, tmp_path):
    def let_go():
        wait_for(lambda: slow.is_busy.is_set() and "busy\nbusy\n" in slow.text())
        slow.is_free.set()
        wait_for(lambda: "attached" in slow.text())
        (tmp_path / "gate").touch()

    thread = threading.Thread(target=let_go)
    thread.start()
    gate = str(tmp_path / "gate")
    end, _ = run_job(
        fork_server, odd_jobs.attach_and_print, "name", gate, listener=slow, timeout=60
    )
    thread.join()
    assert end.state is State.SUCCESS and slow.files == {"name": b"content"}


@pytest.mark.parametrize("is_freed", [True, False])
def test_the_end_waits_for_what_is_being_kept_and_not_for_ever(
    fork_server, slow, tmp_path, is_freed
):
    def let_go():
        slow.is_busy.wait()
        (tmp_path / "gate").touch()
        if is_freed:
            slow.is_free.set()

    thread = threading.Thread(target=let_go)
    thread.start()
    function, gate = odd_jobs.attach_and_print, str(tmp_path / "gate")
    grace = 30 if is_freed else 0.2
    end, _ = run_job(fork_server, function, "name", gate, listener=slow, grace=grace)
    thread.join()
    assert end.state is (State.SUCCESS if is_freed else State.FAILED)
    assert slow.files == ({"name": b"content"} if is_freed else {})


@pytest.mark.parametrize("function", [odd_jobs.leave_attaching, odd_jobs.give_up_attaching])
def test_a_process_with_an_answer_to_come_has_no_other_task(fork_server, slow, function):
    process = fork_server.take()
    task = make_task(function, "name", reuse=True)

    def let_go():
        wait_for(lambda: not is_alive(process.pid))
        slow.is_free.set()

    thread = threading.Thread(target=let_go)
    thread.start()
    end = Supervisor(process, task, slow, grace=60).run()
    thread.join()
    assert end.state is State.SUCCESS and not end.reusable


def test_a_thread_of_an_earlier_job_does_not_speak_as_the_next(fork_server):
    process = fork_server.take()
    task = make_task(odd_jobs.leave_a_thread_that_speaks_later, reuse=True)
    assert Supervisor(process, task, Notes()).run().reusable
    notes = Notes()
    end = Supervisor(process, make_task(odd_jobs.let_it_speak, reuse=True), notes).run()
    assert end.state is State.SUCCESS and end.reusable
    assert not notes.statuses and not notes.files
    process.close()


def test_a_timeout_holds_also_for_a_job_that_has_closed_its_socket(fork_server):
    def close_and_go_on():
        os.closerange(3, 100)
        odd_jobs.hold()

    limits = {"timeout": 0.5, "grace": 0.2}
    end, _ = in_time(4, lambda: run_job(fork_server, close_and_go_on, **limits))
    assert end.result.endswith(TIMED_OUT.format(0.5))


def test_a_process_that_waits_for_no_file_is_ended(fork_server, slow):
    data = messages.encode("attach", b"x" * 1000, number=1, name="x", is_path=False) * 9
    end, _ = run_job(fork_server, odd_jobs.send_raw, data, listener=slow)
    assert end.result.endswith("must not: more files than it has waited for.")


def test_a_job_above_its_memory_is_killed(fork_server):
    for function in (odd_jobs.use_memory, odd_jobs.spawn_memory):
        end, _ = run_job(fork_server, function, 200_000_000, memory_limit=150_000_000)
        assert end.reason is InterruptReason.MEMORY
        assert end.result.startswith("MemoryError: the job used ")
        assert end.result.endswith(" bytes of memory; its limit is 150,000,000.")
    end, _ = run_job(fork_server, abs, 1, memory_limit=150_000_000)
    assert end.state is State.SUCCESS


def test_peak_memory_and_cpu_seconds(fork_server):
    small, _ = run_job(fork_server, len, b"x")
    large, _ = run_job(fork_server, lambda: len(b"x" * 100_000_000))
    assert large.peak_memory - small.peak_memory > 90_000_000
    assert 0 < small.cpu_seconds < large.cpu_seconds


def test_nothing_that_a_job_started_stays(fork_server, tmp_path):
    end, _ = run_job(fork_server, odd_jobs.leave_child)
    wait_for(lambda: not is_alive(end.result))
    path = tmp_path / "pid"
    end, _ = run_job(fork_server, odd_jobs.leave_daemon, str(path))
    assert end.state is State.SUCCESS, end.result
    wait_for(lambda: not is_alive(int(path.read_text())))


def test_shared_memory_that_a_job_has_forgotten_is_given_back(fork_server):
    end, _ = run_job(fork_server, odd_jobs.leave_shared_memory)
    assert end.state is State.SUCCESS and not os.path.exists(f"/dev/shm/{end.result}")


def test_a_job_waits_while_its_output_is_not_taken(fork_server):
    taken, go_on = threading.Event(), threading.Event()

    class Slow(Notes):
        def write_output(self, stream, text):
            taken.set()
            go_on.wait()
            super().write_output(stream, text)

    notes = Slow()
    process = fork_server.take()
    supervisor = Supervisor(process, make_task(odd_jobs.print_much, 10_000_000), notes)
    thread = threading.Thread(target=supervisor.run)
    thread.start()
    taken.wait()
    wait_for(lambda: psutil.Process(process.pid).status() == psutil.STATUS_SLEEPING)
    assert notes.outputs == []
    go_on.set()
    thread.join()
    assert len(notes.text()) == 10_000_000
    assert max(len(text) for _, text in notes.outputs) <= messages.READ_SIZE


def test_a_listener_that_fails_does_no_harm(fork_server):
    class Broken(Notes):
        def write_output(self, stream, text):
            raise ValueError("cannot")

    end, _ = run_job(fork_server, odd_jobs.print_by_all, listener=Broken())
    assert end.state is State.SUCCESS


def frame(head, data=b""):
    return struct.pack(">II", len(head), len(data)) + head + data


OUTCOME = {
    "success": True,
    "result": 1,
    "display": {},
    "cpu_seconds": 0.0,
    "peak_memory": 0,
    "lingers": False,
    "exception": None,
}


@pytest.mark.parametrize(
    "data",
    [
        b"\xff" * 100,
        frame(b"nonsense"),
        frame(b"[" * 20_000),
        frame(b"[1, 2]"),
        frame(b'["task", {}]'),
        frame(b'["status", {}]'),
        frame(b'["status", {"text": 1}]'),
        frame(b'["status", {"text": "a", "more": 1}]'),
        frame(b'["progress", {"progress": 1e999, "done": 1.0, "total": null}]'),
        frame(b'["progress", {"progress": NaN, "done": 1.0, "total": null}]'),
        frame(b'["attach", {"number": 1, "name": "x", "is_path": 1}]'),
        frame(b'["wait_for", {"id": ""}]'),
        messages.encode("outcome", **{**OUTCOME, "display": {"a": 1}}),
        messages.encode("outcome", **{**OUTCOME, "display": {"a": "x" * (LIMIT + 1)}}),
        messages.encode("outcome", **{**OUTCOME, "success": False}),
        messages.encode("outcome", **{**OUTCOME, "cpu_seconds": -1.0}),
    ],
)
def test_a_bad_message_ends_its_job_and_nothing_else(fork_server, data):
    end, _ = run_job(fork_server, odd_jobs.send_raw, data)
    assert end.state is State.FAILED and end.reason is InterruptReason.BAD_MESSAGE
    assert end.result.startswith("The process of the job sent what it must not: ")


def test_half_characters_in_messages_are_escaped(fork_server):
    data = frame(b'["status", {"text": "\\ud800"}]')
    notes = Notes()
    supervisor = Supervisor(fork_server.take(), make_task(odd_jobs.send_raw, data), notes)
    with timing_out(supervisor, lambda: notes.statuses):
        end = supervisor.run()
    assert notes.statuses == ["\\ud800"] and end.reason is InterruptReason.TIMEOUT


def test_a_process_may_be_used_again(fork_server):
    process = fork_server.take()
    ends = [
        Supervisor(process, make_task(odd_jobs.count_calls, reuse=number < 3), Notes()).run()
        for number in (1, 2, 3)
    ]
    assert [end.result for end in ends] == [[process.pid, number] for number in (1, 2, 3)]
    assert [end.reusable for end in ends] == [True, True, False]
    wait_for(lambda: not psutil.pid_exists(process.pid))


def test_a_process_that_has_failed_may_be_used_again(fork_server):
    process = fork_server.take()
    end = Supervisor(process, make_task(lambda: 1 / 0, reuse=True), Notes()).run()
    assert end.state is State.FAILED and end.reusable
    end = Supervisor(process, make_task(odd_jobs.hold, reuse=True), Notes(), timeout=0.1).run()
    assert end.result.endswith(TIMED_OUT.format(0.1)) and not end.reusable


def test_nothing_is_left_after_many_jobs(fork_server):
    run_job(fork_server, abs, -1)
    gc.collect()  # of tests before, which would go meanwhile
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(100):
        run_job(fork_server, abs, -1)
    for _ in range(20):
        run_job(fork_server, os._exit, 3)
    assert len(os.listdir("/proc/self/fd")) == before
    server = psutil.Process(fork_server._server.pid)
    wait_for(lambda: not server.children())
    assert server.num_fds() < 20
