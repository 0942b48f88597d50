"""A job finds its process as any program does, and what it does there is told truly."""

import signal
import sys

import pytest

from moi_django.engine.current import ProgressUpdate
from moi_django.engine.supervisor import Supervisor
from moi_django.models import State
from tests.helpers import odd_jobs
from tests.helpers.job_processes import Notes, make_task, run_job
from tests.helpers.processes import ROOT


def result_of(server, function, *args, **options):
    end, _ = run_job(server, function, *args, **options)
    assert end.state is State.SUCCESS, end.result
    return end.result


def failure_of(server, function, *args, **options):
    end, _ = run_job(server, function, *args, **options)
    assert end.state is State.FAILED
    return end.result


@pytest.mark.parametrize(
    ("function", "result"),
    [
        (odd_jobs.use_pool, [1, 2, 3]),
        (odd_jobs.use_executor, [1, 2]),
        (odd_jobs.terminate_process, -signal.SIGTERM),
        (odd_jobs.use_asyncio, [3, 4]),
        (odd_jobs.coroutine, "awaited"),
        (odd_jobs.break_json, {"a": [1, "b"]}),
        (odd_jobs.break_sockets, "sent"),
        (odd_jobs.replace_streams, "silent"),
        (lambda: odd_jobs.use_up_descriptors(False), "all"),
        (odd_jobs.return_twice, "twice"),
        (sys.exit, None),
        (lambda: sys.exit(0), None),
    ],
)
def test_what_works_in_a_program_works_in_a_job(fork_server, function, result):
    assert result_of(fork_server, function) == result


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (3, "The job called sys.exit(3)."),
        ("no input", "The job called sys.exit('no input')."),
        (True, "The job called sys.exit(True)."),
    ],
)
def test_an_exit_with_a_code_is_a_failure_that_says_so(fork_server, code, told):
    text = failure_of(fork_server, lambda: sys.exit(code))
    assert text.startswith("Traceback") and text.endswith(told)


def test_a_command_of_click_is_a_job(fork_server):
    end, notes = run_job(fork_server, odd_jobs.run_click, "Ada")
    assert (end.state, end.result, notes.text()) == (State.SUCCESS, None, "Hello Ada\n")
    end, notes = run_job(fork_server, odd_jobs.run_click)
    assert end.result.endswith("The job called sys.exit(2).")
    assert "Missing argument 'NAME'" in notes.text("stderr")


def test_an_error_is_told_by_its_traceback(fork_server):
    text = failure_of(fork_server, lambda: odd_jobs.use_up_descriptors(True))
    assert text.startswith("Traceback") and "Too many open files" in text
    assert "moi_django/engine" not in text


def test_a_traceback_shows_no_line_that_the_code_has_not(fork_server):
    end, _ = run_job(fork_server, eval, "int('x')")
    assert end.result.splitlines()[-2:] == [
        '  File "<string>", line 1, in <module>',
        "ValueError: invalid literal for int() with base 10: 'x'",
    ]


def test_another_python_is_refused(fork_server):
    task = make_task(abs, -1, python="2.7")
    end = Supervisor(fork_server.take(), task, Notes()).run()
    assert end.state is State.FAILED and "submitted by Python 2.7" in end.result


def test_all_that_is_printed_comes_in_order(fork_server):
    _, notes = run_job(fork_server, odd_jobs.print_by_all)
    assert notes.text("stdout") == "Python\nC\nshell\nno end shell\nraw\nbytes\nC again\n"
    _, notes = run_job(fork_server, odd_jobs.print_alternately, 20)
    turns = [(name, "".join(text for _, text in pieces)) for name, pieces in notes.in_turn()]
    assert [name for name, _ in turns] == ["stdout", "stderr", "log"] * 20
    assert [text.split()[-1] for _, text in turns] == [str(n) for n in range(20) for _ in range(3)]


def test_characters_may_come_in_halves(fork_server):
    _, notes = run_job(fork_server, odd_jobs.print_halves)
    assert notes.text() == "é\ufffd\ufffd\\udcff\n"


def test_what_has_kept_a_stream_at_import_prints_for_the_job(fork_server):
    _, notes = run_job(fork_server, odd_jobs.print_from_old_streams)
    assert (notes.text("stdout"), notes.text("stderr")) == ("kept\noriginal\n", "handler\n")


def test_what_is_logged_is_told_as_the_job_wants_it(fork_server):
    _, notes = run_job(fork_server, odd_jobs.log_some)
    assert notes.text("log").endswith(" INFO some: told\n") and notes.text("stdout", "stderr") == ""
    _, notes = run_job(fork_server, odd_jobs.log_as_configured)
    assert notes.outputs == [("stdout", "mine told\n")]


def test_nothing_of_a_job_reaches_the_next(fork_server, tmp_path):
    before = result_of(fork_server, odd_jobs.show_everything)
    result_of(fork_server, odd_jobs.change_everything, str(tmp_path))
    assert result_of(fork_server, odd_jobs.show_everything) == before
    assert before[1] is None and before[0] == str(ROOT)


def test_jobs_draw_numbers_of_their_own(fork_server):
    drawn = [tuple(result_of(fork_server, odd_jobs.draw_numbers)) for _ in range(3)]
    assert len({number for each in drawn for number in each}) == 6


def test_a_job_has_no_descriptors_but_its_own(fork_server):
    assert len(result_of(fork_server, odd_jobs.open_descriptors)) == 4


def test_a_job_process_needs_no_redis_and_no_django(fork_server):
    assert result_of(fork_server, odd_jobs.imported, "redis", "django", "zmq", "IPython") == []


def test_status_texts_are_told_and_the_one_before_is_returned(fork_server):
    end, notes = run_job(fork_server, odd_jobs.say_statuses)
    assert end.result == ["Running", "one", "two\\udcff"]
    # Of those that come together only the last is shown.
    assert notes.statuses[-1] == "x" * 200


def test_progress_may_be_told_often_and_the_last_is_shown(fork_server):
    _, notes = run_job(fork_server, odd_jobs.count_far, 20_000)
    assert notes.progress[-1] == ProgressUpdate(1.0, 20_000.0, 20_000.0)
    assert len(notes.progress) < 200


def test_files_are_attached_or_refused_with_a_reason(fork_server, tmp_path):
    path = tmp_path / "\udcff"
    path.write_bytes(b"c")
    end, notes = run_job(fork_server, odd_jobs.attach_some, str(path))
    assert notes.files == {"a.txt": b"a", "b.txt": b"b" * 3_000_000, "c.txt": b"c"}
    assert end.result == [
        ["InvalidJob", "not this one"],
        ["InvalidJob", "A file is bytes or a path, not int."],
        ["InvalidJob", "7 is no name for a file: give a string."],
    ]


def test_a_job_fails_with_whose_result_a_file_is_lost(fork_server):
    end, _ = run_job(fork_server, odd_jobs.attach_in_vain, "refused", "broken")
    assert end.state is State.FAILED
    assert end.result == "The file 'broken' could not be kept: OSError('disk full')."

    class Once(Notes):
        def attach(self, name, content):
            if name not in self.files:
                self.files[name] = b""
                raise OSError("disk full")

    end, _ = run_job(fork_server, odd_jobs.attach_in_vain, "again", "again", listener=Once())
    assert end.state is State.SUCCESS


def test_a_job_tells_that_it_waits_for_others(fork_server):
    _, notes = run_job(fork_server, odd_jobs.wait_in_turn)
    assert notes.waits == [
        *[("for", "a-job"), ("for", "another")],
        *[("over", "another"), ("over", "a-job")],
    ]


def test_a_fork_of_a_job_does_not_speak_for_it(fork_server):
    _, notes = run_job(fork_server, odd_jobs.report_from_fork)
    assert notes.statuses == ["parent"]


@pytest.mark.parametrize(("given", "code"), [(3, 3), (None, 0), ("text", 1)])
def test_a_fork_of_a_job_ends_as_it_wants_to(fork_server, given, code):
    assert result_of(fork_server, odd_jobs.exit_in_fork, given) == code


def test_a_signal_handler_that_raises_tears_no_message(fork_server):
    assert result_of(fork_server, odd_jobs.raise_alarm, 1.0) is True


def test_threads_and_functions_at_exit_have_some_time(fork_server):
    end, notes = run_job(fork_server, odd_jobs.leave_thread, 0.05)
    assert (end.result, notes.text()) == ("result", "thread\nat exit\n")
    end, notes = run_job(fork_server, odd_jobs.leave_thread, 60, grace=0.2)
    assert (end.state, end.result, notes.text()) == (State.SUCCESS, "result", "")


def test_a_breakpoint_says_how_to_debug(fork_server):
    def stop():
        breakpoint()

    _, notes = run_job(fork_server, stop)
    assert "moi run --job-id a-job" in notes.text("stderr")
