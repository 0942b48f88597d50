"""What any program prints for a job is caught, in its place, and in no other job."""

import logging
import os
import subprocess
import sys
import threading
from contextlib import contextmanager

import psutil

from moi_django.engine.output_capture import capture_output
from tests.helpers.processes import ROOT, wait_for


@contextmanager
def heard():
    """Give what is caught in the block, stream by stream."""
    said = {"stdout": "", "stderr": "", "log": ""}

    def write(stream, text):
        said[stream] += text

    with capture_output(write):
        yield said


def test_what_others_print_keeps_its_place():
    with heard() as said:
        print("a")
        subprocess.run(["echo", "b"], check=True)
        print("c")
        os.write(1, b"d\n")
        print("e")
        subprocess.run("echo f; echo g >&2", shell=True, stdout=sys.stdout, check=True)
        print("h", file=sys.stderr)
        os.write(sys.stdout.fileno(), b"i")
    assert said == {"stdout": "a\nb\nc\nd\ne\nf\ni", "stderr": "g\nh\n", "log": ""}


def test_characters_may_come_in_halves():
    with heard() as said:
        for half in (b"\xc3", b"\xa9 "):
            os.write(1, half)
            print("read", file=sys.stderr)  # after what was written before it
        for half in (b"\xe4\xb8", b"\xad", b"\xff ", b"\xe4"):
            sys.stdout.buffer.write(half)
    assert said["stdout"] == "é 中\ufffd \ufffd"


def test_much_is_read_while_it_is_written():
    with heard() as said:
        subprocess.run("yes | head -c 5000000", shell=True, check=True)
        assert os.write(1, b"x" * 3_000_000) > 0
    assert len(said["stdout"]) == 8_000_000


def test_what_is_left_running_lives_on_and_speaks_in_no_other_job(tmp_path, capfd):
    told = tmp_path / "told"
    command = f"echo early; read -r line; echo late && echo $? > {told}"
    with heard() as said:
        left = subprocess.Popen(command, shell=True, stdin=subprocess.PIPE)
        wait_for(lambda: said["stdout"])
    with heard() as other:
        left.communicate(b"\n")
        print("other")
    assert told.read_text() == "0\n"
    assert (said["stdout"], other["stdout"]) == ("early\n", "other\n")
    wait_for(lambda: "late" in capfd.readouterr().out)


def test_nothing_is_left_of_a_block():
    def sizes():
        return psutil.Process().num_fds(), threading.active_count()

    with heard():
        pass  # the first one starts the thread
    before = sizes()
    for _ in range(50):
        with heard():
            subprocess.run(["echo", "x"], check=True)
    wait_for(lambda: all(now <= then for now, then in zip(sizes(), before, strict=True)))


def test_a_stdout_that_a_job_has_closed_is_there_again(capfd):
    with heard():
        os.close(1)
    with heard() as said:
        os.write(1, b"x")
    os.write(1, b"y")
    assert said["stdout"] == "x"
    assert capfd.readouterr().out == "y"


def test_a_process_that_was_started_without_stdout_has_one_in_a_job():
    code = (
        "import os, subprocess\n"
        "from moi_django.engine.output_capture import capture_output\n"
        "said = []\n"
        "with capture_output(lambda stream, text: said.append(text)):\n"
        "    subprocess.run(['echo', 'x'], check=True)\n"
        "os.write(2, ''.join(said).encode())\n"
    )
    ran = subprocess.run(
        ["/bin/sh", "-c", 'exec "$0" -c "$1" >&-', sys.executable, code],
        capture_output=True,
        check=True,
        cwd=ROOT,
    )
    assert ran.stderr == b"x\n"


def test_what_the_engine_logs_is_not_of_the_job(capfd):
    with open(2, "w", closefd=False) as stderr:
        handler = logging.StreamHandler(stderr)
        logger = logging.getLogger("IPEngine")
        logger.addHandler(handler)
        try:
            with heard() as said:
                logger.error("of the engine")
        finally:
            logger.removeHandler(handler)
    assert said == {"stdout": "", "stderr": "", "log": ""}
    assert handler.stream is stderr
    assert "of the engine" in capfd.readouterr().err
