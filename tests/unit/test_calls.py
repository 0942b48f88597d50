"""A shell command and Python source, run as a job runs them."""

import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from moi_django.contrib.command_line.python_code import check_python, python_call
from moi_django.engine import calls
from moi_django.engine.calls import system_call

DEADLINE = 30.0


def wait_for(condition: Callable[[], object]) -> None:
    """Return once the condition holds; fail when it does not in time."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, "the condition did not come true in time"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    """Tell whether a process runs: a dead one that nobody waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def written_pid(path: Path) -> int:
    """Wait until a command has written its process id, and return it."""
    wait_for(lambda: path.exists() and path.read_text().endswith("\n"))
    return int(path.read_text())


@contextmanager
def interrupted_after(path: Path) -> Iterator[None]:
    """Raise KeyboardInterrupt in the block once it waits for a command that wrote its id."""

    def waits() -> bool:
        stack = traceback.extract_stack(sys._current_frames()[main])
        return any(frame.name == "join" for frame in stack)

    def interrupt() -> None:
        written_pid(path)
        wait_for(waits)
        signal.pthread_kill(main, signal.SIGINT)

    main = threading.get_ident()
    thread = threading.Thread(target=interrupt)
    thread.start()
    yield
    thread.join()


class TestSystemCall:
    def test_does_not_hand_the_address_of_redis_on(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MOI_REDIS_URL", "redis://:secret@x")
        monkeypatch.setenv("OTHER", "public")
        out, _, _ = system_call("env")
        assert "secret" not in out and "OTHER=public" in out

    def test_returns_output_error_and_code(self) -> None:
        assert system_call("echo 'hello from moi'") == ["hello from moi\n", "", 0]
        assert system_call("echo out; echo err >&2") == ["out\n", "err\n", 0]

    def test_runs_a_sequence_without_a_shell(self) -> None:
        assert system_call(["echo", "$HOME; false"]) == ["$HOME; false\n", "", 0]

    def test_raises_with_the_seeds_text_when_the_command_fails(self) -> None:
        with pytest.raises(ValueError) as caught:
            system_call("echo out; foobar_is_no_command")
        head, _, stderr = str(caught.value).partition("stderr: ")
        assert head == "Failed to execute: echo out; foobar_is_no_command\nstdout: out\n\n"
        assert stderr.startswith("/bin/sh: ") and stderr.endswith("not found\n")

    def test_accepts_what_moi_hands_to_every_function(self) -> None:
        handed = {
            "moi_update_status": str,
            "status_update": str,
            "moi_context": "default",
            "moi_parent_id": "x",
            "cmd": "not this one",
        }
        assert system_call("echo this", **handed) == ["this\n", "", 0]

    def test_gives_no_input(self) -> None:
        assert system_call("cat") == ["", "", 0]

    def test_replaces_bytes_that_are_no_text(self) -> None:
        assert system_call("printf 'a\\377b'") == ["a\ufffdb", "", 0]

    def test_keeps_what_goes_back_to_the_start_of_a_line(self) -> None:
        assert system_call("printf 'a\\rb\\rc\\r\\n'") == ["a\rb\rc\r\n", "", 0]

    def test_joins_a_character_that_comes_in_halves(self, tmp_path: Path) -> None:
        half = "printf '\\303'; sleep 0.05; printf '\\251'; printf '\\303'"
        assert system_call(half) == ["é\ufffd", "", 0]

    def test_reads_more_output_than_a_pipe_holds(self) -> None:
        stdout, stderr, _ = system_call("head -c 300000 /dev/zero | tr '\\0' x; echo y >&2")
        assert (len(stdout), stderr) == (300000, "y\n")

    def test_an_interrupt_ends_the_command_and_what_it_started(self, tmp_path: Path) -> None:
        pid_file = tmp_path / "pid"

        with interrupted_after(pid_file), pytest.raises(KeyboardInterrupt):
            system_call(f"(sleep 600 & echo $! > {pid_file}; wait); true")
        wait_for(lambda: not alive(written_pid(pid_file)))

    def test_an_interrupt_ends_a_command_that_ignores_sigterm(self, tmp_path: Path) -> None:
        pid_file = tmp_path / "pid"

        with interrupted_after(pid_file), pytest.raises(KeyboardInterrupt):
            system_call(f"trap '' TERM; (echo $$ > {pid_file}; while :; do sleep 600; done); true")
        wait_for(lambda: not alive(written_pid(pid_file)))

    def test_an_interrupt_lets_the_command_clean_up(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(calls, "TERMINATE_TIMEOUT", DEADLINE)
        pid_file, cleaned = tmp_path / "pid", tmp_path / "cleaned"

        with interrupted_after(pid_file), pytest.raises(KeyboardInterrupt):
            system_call(
                f"trap 'touch {cleaned}; exit' TERM; echo $$ > {pid_file}; sleep 600 & wait"
            )
        assert cleaned.exists()

    def test_what_a_command_leaves_in_the_background_goes_on(self, tmp_path: Path) -> None:
        pid_file = tmp_path / "pid"
        system_call(f"sleep 600 >/dev/null 2>&1 & echo $! > {pid_file}")
        pid = written_pid(pid_file)
        assert alive(pid)
        os.kill(pid, signal.SIGKILL)

    def test_leaves_no_child_behind(self) -> None:
        before = {*psutil.Process().children()}  # of which some may end meanwhile
        system_call("true")
        with pytest.raises(OSError):
            system_call(["/nonexistent/program"])
        assert {*psutil.Process().children()} <= before


class TestPythonCall:
    def test_returns_what_the_code_returns(self) -> None:
        assert python_call("x = 5; return x + 10") == 15
        assert python_call("x = 5") is None

    def test_code_has_the_scopes_of_a_function(self) -> None:
        assert python_call("import math\nx = 2\nreturn [math.sqrt(x * y) for y in (2, 8)]") == [
            2,
            4,
        ]
        assert python_call("def f(n): return n and n + f(n - 1)\nreturn f(4)") == 10

    def test_indented_code_runs(self) -> None:
        assert python_call("  return 1") == 1
        assert python_call("\n    x = 1\n    return x\n") == 1

    def test_strings_in_the_code_keep_their_space(self) -> None:
        assert python_call('return """a\n   \n  b"""') == "a\n   \n  b"

    def test_names_the_frame_as_the_seed_does(self) -> None:
        with pytest.raises(ValueError) as caught:
            python_call("return float('crash and burn')")
        frame = traceback.extract_tb(caught.tb)[-1]
        assert (frame.filename, frame.lineno, frame.name) == ("<string>", 1, "execwrapper")

    def test_numbers_lines_as_typed(self) -> None:
        with pytest.raises(ZeroDivisionError) as caught:
            python_call("x = 0\n\n1 / x")
        assert traceback.extract_tb(caught.tb)[-1].lineno == 3

    def test_what_moi_hands_over_can_be_used_as_names(self) -> None:
        told: list[str] = []
        source = "status_update('half way')\nreturn moi_context"
        assert python_call(source, status_update=told.append, moi_context="default") == "default"
        assert told == ["half way"]

    def test_calls_share_nothing(self) -> None:
        python_call("global left_over\nleft_over = 1")
        with pytest.raises(NameError):
            python_call("return left_over")

    @pytest.mark.parametrize(
        "source",
        [
            "",
            "# nothing to do",
            "x = (",
            "return = 1",
            "break",
            "await x",
            "return '\udcff'",
            "x\0y",
            "-" * 100_000 + "1",
            "1+" * 100_000 + "1",
        ],
        ids=lambda source: repr(source[:16]),
    )
    def test_code_that_cannot_run_is_a_syntax_error(self, source: str) -> None:
        with pytest.raises(SyntaxError):
            check_python(source)
        with pytest.raises(SyntaxError):
            python_call(source)

    def test_checking_runs_nothing(self) -> None:
        check_python("raise SystemExit")


def test_needs_neither_django_nor_redis() -> None:
    code = (
        "import sys, moi_django.engine.calls, moi_django.contrib.command_line.python_code\n"
        "print({'django', 'redis', 'IPython'} & {*sys.modules})"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "set()\n"
