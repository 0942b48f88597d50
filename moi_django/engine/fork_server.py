"""What runs in a fork server: one thread, which has imported what jobs will need.

It forks on request and reports how each process has ended. What a job leaves running becomes its
child, and is killed. When the process that has started it is gone, so is all of this.
"""

import faulthandler
import gc
import importlib
import linecache
import logging
import os
import selectors
import signal
import socket
import struct
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NoReturn

import psutil

from moi_django.engine.job_output import flush_streams, open_streams
from moi_django.engine.job_process import (
    CLEAN,
    RSS_UNIT,
    adopt_orphans,
    close_database,
    follow_parent,
    prepare_for_jobs,
    run_job_process,
)
from moi_django.engine.tqdm_progress import follow_tqdm

logger = logging.getLogger(__name__)

# Seconds after which what should have ended is looked at, and for which a server kills at its end.
CHECK_DELAY, END_TIMEOUT = 1.0, 1.5
# How many that have ended are seen to before anything else is.
REAPED_AT_ONCE = 200
# What the server says of a process: its id, or minus the number of the error of `fork`; then its
# wait status, CPU seconds and peak memory in bytes.
START, EXIT = struct.Struct("q"), struct.Struct("qdq")
# Bytes in which it says what cannot be imported, when it begins.
MAX_PROBLEM = 1000


def serve(parent: int, control: int, preload: Sequence[str]) -> NoReturn:
    """Run a server whose client, the parent, is at the other end of a socket, until that closes."""
    # It ends in order then, also if it is frozen.
    follow_parent(parent, signal.SIGCONT)
    sys.argv[:] = [""]
    # One that comes early to a job process waits there for the start of the task.
    signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGINT})
    signal.signal(signal.SIGINT, signal.default_int_handler)
    open_streams()
    faulthandler.enable()
    # From Python 3.13 on it has the program of `python -c` as the source of "<string>".
    linecache.clearcache()
    setup_error, problem = _set_up(preload)
    prepare_for_jobs()
    flush_streams()
    gc.collect()
    gc.freeze()
    client = socket.socket(fileno=control)
    _send(client, problem.encode("ascii", "backslashreplace")[: MAX_PROBLEM - 1] + b"\0")
    _Server(client, setup_error).run()


def _set_up(preload: Sequence[str]) -> tuple[str | None, str]:
    """Import what jobs need; return the traceback of a broken Django, and what failed first."""
    follow_tqdm()
    error, problem = None, ""
    if os.environ.get("DJANGO_SETTINGS_MODULE"):
        try:
            importlib.import_module("django").setup()
        except BaseException as raised:
            problem = f"Django cannot be set up: {raised!r}"
            error = f"Django cannot be set up for jobs.\n\n{traceback.format_exc()}".rstrip()
    for name in preload:
        try:
            importlib.import_module(name)
        except BaseException as raised:
            problem = problem or f"{name} of PRELOAD cannot be imported: {raised!r}"
            logger.exception("The module %s cannot be imported ahead of jobs", name)
    close_database()
    return error, problem


class _Server:
    """Forks on request, and sees to the end of each process."""

    def __init__(self, control: socket.socket, setup_error: str | None) -> None:
        self._control, self._setup_error = control, setup_error
        self._pid = os.getpid()
        # What modules have started when they were imported.
        self._kept = {child.pid for child in psutil.Process().children()}
        # Who wants to know of each process, and whose processes nobody does any more.
        self._exits: dict[int, socket.socket] = {}
        self._abandoned: set[int] = set()
        self._check_at: float | None = None
        adopt_orphans()
        self._wakes = socket.socketpair()
        for end in self._wakes:
            end.setblocking(False)
        signal.set_wakeup_fd(self._wakes[1].fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: self._end())
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ, self._fork)
        self._selector.register(self._wakes[0], selectors.EVENT_READ, self._reap)

    def run(self) -> NoReturn:
        """Do what is asked for."""
        while True:
            wait = None if self._check_at is None else max(0.0, self._check_at - time.monotonic())
            for key, _ in self._selector.select(wait):
                key.data() if callable(key.data) else self._abandon(key.data)
            if self._check_at is not None and time.monotonic() >= self._check_at:
                self._check()

    def _fork(self) -> None:
        try:
            asked, descriptors, _, _ = socket.recv_fds(self._control, 1, 4)
        except OSError:
            asked = b""
        if not asked:
            self._end()
        *pipes, exit = descriptors
        report = socket.socket(fileno=exit)
        try:
            pid = os.fork()
        except OSError as error:
            pid = -(error.errno or 1)
        if pid == 0:
            self._become_job_process(pipes, report)
        for descriptor in pipes:
            os.close(descriptor)
        _send(report, START.pack(pid))
        if pid > 0:
            report.setblocking(False)
            self._exits[pid] = report
            self._selector.register(report, selectors.EVENT_READ, pid)

    def _become_job_process(self, pipes: list[int], report: socket.socket) -> NoReturn:
        signal.set_wakeup_fd(-1)
        self._selector.close()
        for end in (self._control, report, *self._wakes, *self._exits.values()):
            end.close()
        stdout, stderr, messages = pipes
        run_job_process(self._pid, (stdout, stderr, messages), self._setup_error)

    def _abandon(self, pid: int) -> None:
        """Note that nobody asks for a process any more; it has a moment to end by itself."""
        if pid in self._exits and pid not in self._abandoned:
            self._selector.unregister(self._exits[pid])
            self._abandoned.add(pid)
            self._check_soon()

    def _check_soon(self) -> None:
        self._check_at = self._check_at or time.monotonic() + CHECK_DELAY

    def _check(self) -> None:
        self._check_at = None
        for pid in self._abandoned:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._kill_strangers()

    def _reap(self) -> None:
        with suppress(BlockingIOError):
            self._wakes[0].recv(4096)
        ended: list[tuple[int, int, Any]] = []
        with suppress(ChildProcessError):
            while len(ended) < REAPED_AT_ONCE and (each := os.wait4(-1, os.WNOHANG))[0]:
                ended.append(each)
        if len(ended) == REAPED_AT_ONCE:
            with suppress(BlockingIOError):
                self._wakes[1].send(b"!")  # others may wait for a fork meanwhile
        # Not one by one: what a job leaves may be many, and may become more.
        seen_off = [self._see_off(*each) for each in ended]
        if not all(seen_off):
            self._kill_strangers()

    def _see_off(self, pid: int, status: int, usage: Any) -> bool:
        """Tell how a process has ended; return whether it says that it has left nothing."""
        report = self._exits.pop(pid, None)
        is_clean = report is not None and os.waitstatus_to_exitcode(status) == CLEAN
        if is_clean:
            self._check_soon()
        elif report is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
        if report is not None:
            if pid not in self._abandoned:
                self._selector.unregister(report)
            self._abandoned.discard(pid)
            cpu_seconds = usage.ru_utime + usage.ru_stime
            _send(report, EXIT.pack(status, cpu_seconds, usage.ru_maxrss * RSS_UNIT))
            report.close()
        return is_clean

    def _kill_strangers(self) -> None:
        """Kill what ended jobs have left; the children of these then become ours, and so on."""
        for child in psutil.Process().children():
            if child.pid not in self._exits and child.pid not in self._kept:
                with suppress(psutil.Error):
                    child.kill()

    def _end(self) -> NoReturn:
        """Kill everything below, and end."""
        deadline = time.monotonic() + END_TIMEOUT
        with suppress(ChildProcessError):
            while time.monotonic() < deadline:
                for process in psutil.Process().children(recursive=True):
                    with suppress(psutil.Error):
                        process.kill()
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
                time.sleep(0.01)
        os._exit(0)


def _send(report: socket.socket, data: bytes) -> None:
    with suppress(OSError):  # nobody wants to know
        report.send(data)
