"""A job keeps where it is, and its next attempt is told; what its process says is checked."""

import json
import signal
import struct

import pytest

from moi_django import CurrentJob
from moi_django.engine import current
from moi_django.engine.current import MAX_CHECKPOINT, Checkpoint, check_checkpoint
from moi_django.engine.supervisor import InterruptReason, Supervisor
from moi_django.exceptions import InvalidJob
from moi_django.models import State
from tests.helpers import odd_jobs, resuming_jobs
from tests.helpers.job_processes import Notes, make_task, run_job, timing_out


def run_after(server, checkpoint, function, *args):
    """Run a function as an attempt that finds a checkpoint; return the end and what it keeps."""
    notes = Notes()
    task = make_task(function, *args, checkpoint=checkpoint)
    return Supervisor(server.take(), task, notes).run(), notes


def test_what_is_kept_is_told_and_has_the_form_of_a_result(fork_server):
    end, notes = run_job(fork_server, resuming_jobs.keep, (1, 2), {3: "x"}, None)
    assert end.result == ["nothing", [1, 2], {"3": "x"}, None]
    assert notes.checkpoints[-1] == "null"


@pytest.mark.parametrize("kept", [None, 0, "", [], {"at": [1, 2.5, "\udcff"]}])
def test_the_next_attempt_finds_it(fork_server, kept):
    end, notes = run_after(fork_server, json.dumps(kept), resuming_jobs.keep)
    assert end.result == [json.loads(json.dumps(kept).replace("\\udcff", "\\\\udcff"))]
    assert notes.checkpoints == []  # it is there already


def test_functions_may_ask_for_it_by_keyword(fork_server):
    end, notes = run_after(fork_server, "7", resuming_jobs.keep_by_keyword, 8)
    assert (end.result, notes.checkpoints) == (7, ["8"])


def test_what_is_found_is_a_copy(fork_server):
    end, _ = run_job(fork_server, resuming_jobs.change_what_was_kept)
    assert end.result == [1]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_what_was_kept_before_a_process_is_killed_counts(fork_server, number):
    end, notes = run_job(fork_server, resuming_jobs.keep_and_die, {"at": 5}, int(number))
    assert end.state is State.FAILED and notes.checkpoints == ['{"at": 5}']


def test_of_many_the_last_counts(fork_server):
    _, notes = run_job(fork_server, resuming_jobs.keep_often, 20_000)
    assert notes.checkpoints[-1] == "19999" and len(notes.checkpoints) < 20_000


def test_a_fork_of_a_job_keeps_nothing(fork_server):
    _, notes = run_job(fork_server, resuming_jobs.keep_in_a_fork)
    assert notes.checkpoints == ['"parent"']


@pytest.mark.parametrize("value", ["x" * MAX_CHECKPOINT, [0] * MAX_CHECKPOINT])
def test_what_is_too_large_is_refused_in_the_job(fork_server, value):
    end, notes = run_job(fork_server, resuming_jobs.keep, 1, value)
    assert end.result.endswith(
        "InvalidJob: A checkpoint is 64,000 bytes of JSON at most: keep what is large elsewhere."
    )
    assert notes.checkpoints == ["1"]


def test_as_much_as_is_allowed_is_kept(fork_server):
    value = "x" * (MAX_CHECKPOINT - 2)
    end, notes = run_job(fork_server, resuming_jobs.keep, value)
    assert end.state is State.SUCCESS and notes.checkpoints == [f'"{value}"']


def frame(head, data):
    return struct.pack(">II", len(head), len(data)) + head + data


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"nonsense", b"\xff", b"NaN", b"[" * 500 + b"]" * 500),
        b'"' + b"x" * MAX_CHECKPOINT + b'"',
    ],
)
def test_what_is_no_checkpoint_is_left_out(fork_server, data, caplog):
    sent = frame(b'["checkpoint", {}]', data)
    notes, told = Notes(), "The checkpoint of job a-job is left out"
    supervisor = Supervisor(fork_server.take(), make_task(odd_jobs.send_raw, sent), notes)
    with timing_out(supervisor, lambda: told in caplog.text):
        end = supervisor.run()
    assert end.reason is InterruptReason.TIMEOUT and notes.checkpoints == []


def test_fields_that_a_checkpoint_has_not_end_the_job(fork_server):
    sent = frame(b'["checkpoint", {"id": "another"}]', b"1")
    end, notes = run_job(fork_server, odd_jobs.send_raw, sent)
    assert end.reason is InterruptReason.BAD_MESSAGE and notes.checkpoints == []


# Loops


@pytest.mark.parametrize("function", [resuming_jobs.count, resuming_jobs.count_with_a_kept_loop])
def test_a_loop_that_fails_goes_on_with_the_item_that_failed(fork_server, function):
    end, notes = run_job(fork_server, function, 10, 3)
    assert "fails at 3" in end.result and notes.checkpoints[-1] == "3"
    end, notes = run_after(fork_server, "3", resuming_jobs.count, 10)
    assert end.result == list(range(3, 10))
    assert notes.checkpoints[-1] == "10"
    assert notes.progress[-1].done == 10


def test_an_item_at_which_a_loop_is_left_is_not_done(fork_server):
    # Killed afterwards: it was kept when the loop was left.
    _, notes = run_job(fork_server, resuming_jobs.count, 10, None, 4, int(signal.SIGKILL))
    assert notes.checkpoints[-1] == "4"
    end, notes = run_after(fork_server, "9", resuming_jobs.count, 10, None, 9)
    assert (end.result, notes.checkpoints) == ([], [])


@pytest.mark.parametrize("number", [3, 7])
def test_a_loop_of_which_all_is_done_does_nothing(fork_server, number):
    end, notes = run_after(fork_server, str(number), resuming_jobs.count, 3)
    assert (end.result, notes.checkpoints) == ([], [])


@pytest.mark.parametrize("kept", [None, True, "3", 3.0, [3]])
def test_a_loop_does_not_go_on_from_something_else(fork_server, kept):
    end, notes = run_after(fork_server, json.dumps(kept), resuming_jobs.count, 3)
    assert f"InvalidJob: track() cannot go on from '{kept}'. track(resume=True) has" in end.result
    assert notes.checkpoints == []


def test_two_loops_cannot_share_a_checkpoint(fork_server):
    end, _ = run_job(fork_server, resuming_jobs.count_twice)
    assert "for more, use checkpoint() alone" in end.result
    end, _ = run_job(fork_server, resuming_jobs.keep_and_count, {"at": 1})
    assert "for more, use checkpoint() alone" in end.result


def test_a_loop_keeps_its_place_about_once_a_second(monkeypatch):
    told, shown = [], []
    job = CurrentJob(
        *("id", "name", 2, None, None, str, shown.append, print),
        _checkpoint=Checkpoint("3", told.append),
    )
    present = [100.0]
    monkeypatch.setattr(current.time, "monotonic", lambda: present[0])
    loop = job.track(range(10), resume=True)
    for _ in range(5):
        next(loop)
    assert told == ["4"] and job.resume() == 7
    assert shown[0] == (0.3, 3, 10) and shown[-1] == (0.7, 7, 10)
    present[0] += 1
    next(loop)
    assert told == ["4", "8"]
    next(loop)
    loop.close()
    assert told == ["4", "8", "9"]
    assert list(job.track("ab")) == ["a", "b"]
    with pytest.raises(InvalidJob, match="cannot go on from '9'"):
        next(job.track("ab", resume=True))


def test_a_checkpoint_from_elsewhere_is_a_text_of_json(caplog):
    assert check_checkpoint(make_task(abs), b' {"a": 1}') == ' {"a": 1}'
    assert check_checkpoint(make_task(abs), b"1 " * 2) is None
    assert "The checkpoint of job a-job is left out: " in caplog.text
