"""Run a shell command, as a function that a job can run as it is.

It needs neither Django nor Redis: it runs on engines.
"""

import os
import signal
import subprocess
import sys
import threading
from codecs import getincrementaldecoder
from collections.abc import Sequence
from contextlib import suppress
from locale import getpreferredencoding
from typing import IO, Any

from moi_django.engine.current import current_job

# Variables that a command does not get: what it prints is shown in pages.
PRIVATE_VARIABLES = {"MOI_REDIS_URL"}
# Seconds that an interrupted command has to clean up after SIGTERM.
TERMINATE_TIMEOUT = 1.0
# Bytes of what a command prints that are read at once, at most.
READ_SIZE = 1 << 16


def system_call(cmd: str | Sequence[str], /, **kwargs: Any) -> list[Any]:
    """Run a command and return `[stdout, stderr, return code]`.

    A string goes to the shell, a sequence runs without one. Stdin is empty; bytes that are not text
    in the locale's encoding are replaced. A code other than 0 raises ValueError. What moi hands
    to a function by keyword is accepted and ignored. The address of Redis is not in the environment
    of the command. In a job its output is the job's as well, as it comes.

    Whatever interrupts the call also ends the command and all it has started, and so does the end
    of the job that it is called in.
    """
    process = subprocess.Popen(
        cmd,
        shell=isinstance(cmd, str),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if name not in PRIVATE_VARIABLES},
        process_group=0,
    )
    readers = [_PipeReader(process.stdout, "stdout"), _PipeReader(process.stderr, "stderr")]
    try:
        for reader in readers:
            reader.join()
        process.wait()
    except BaseException:
        _end_group(process)
        raise
    stdout, stderr = (reader.text for reader in readers)
    if process.returncode != 0:
        raise ValueError(f"Failed to execute: {cmd}\nstdout: {stdout}\nstderr: {stderr}")
    return [stdout, stderr, process.returncode]


class _PipeReader(threading.Thread):
    """Reads what a command prints until all who could print there are gone."""

    def __init__(self, pipe: IO[bytes] | None, name: str) -> None:
        super().__init__(daemon=True)
        self._pipe, self._name = pipe, name
        self._texts: list[str] = []
        self.start()

    @property
    def text(self) -> str:
        """All that was read."""
        return "".join(self._texts)

    def run(self) -> None:
        """Read, and print it as this process's own in a job."""
        decoder = getincrementaldecoder(getpreferredencoding(False))("replace")
        assert self._pipe is not None  # noqa: S101 - it was asked for
        with self._pipe:
            while data := os.read(self._pipe.fileno(), READ_SIZE):
                self._add_text(decoder.decode(data))
            self._add_text(decoder.decode(b"", True))

    def _add_text(self, text: str) -> None:
        if text:
            self._texts.append(text)
            if current_job() is not None:
                getattr(sys, self._name).write(text)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End a command and every process of its group, kindly first."""
    try:
        os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(TERMINATE_TIMEOUT)
    finally:
        # Nobody may be left; macOS refuses a group of which only a dead leader is.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        with process:
            process.wait()
