"""Start job processes: from a fork server that the engine starts, and which has one ready."""

import errno
import json
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Sequence
from contextlib import ExitStack, suppress

import psutil

from moi_django.engine.attempt_end import Exit
from moi_django.engine.fork_server import END_TIMEOUT, EXIT, MAX_PROBLEM, START
from moi_django.engine.job_process import adopt_orphans
from moi_django.exceptions import NoProcess

logger = logging.getLogger(__name__)

# Variables with keys of the cluster: an engine needs them to start, and no job may show them.
SECRET_VARIABLES = ("IPP_CONNECTION_INFO", "IPP_CURVE_SECRETKEY")
# In the environment of a server and all below it: tells those of one from all others.
_MARK = "MOI_FORK_SERVER"
# What ipykernel sets for its engine, in which a figure is shown by IPython.
_INLINE_BACKEND = "module://matplotlib_inline.backend_inline"
# Seconds that a server has for its first process, with all its imports, and for any other.
START_TIMEOUT, FORK_TIMEOUT = 120.0, 10.0
# Numbers of errors that say of what this process, or its machine, has too little.
OWN_SHORTAGES = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}
# Seconds that a server which seems dead has to be so.
DEATH_TIMEOUT = 1.0
_COMMAND = (
    "import json, sys; path, *args = json.loads(sys.argv.pop()); sys.path[:] = path;"
    "from moi_django.engine.fork_server import serve; serve(*args)"
)


class JobProcess:
    """A process for jobs, seen from its supervisor. `close` lets go of it: it is then ended."""

    def __init__(self, control: socket.socket) -> None:
        """Ask a fork server for it. Raises OSError when that is gone."""
        # Set by `wait_for_start`.
        self.pid = 0
        with ExitStack() as ours, ExitStack() as theirs:
            # Descriptors of what it prints; to it, and to what the fork server says of it.
            self.stdout, out = _open_pipe(ours, theirs)
            self.stderr, err = _open_pipe(ours, theirs)
            self.messages, messages = _open_socket(ours, theirs)
            self.exit, exit = _open_socket(ours, theirs)
            socket.send_fds(control, [b"f"], [out, err, messages, exit])
            self.messages.setblocking(False)
            self._descriptors = ours.pop_all()

    def wait_for_start(self, timeout: float) -> None:
        """Wait until it is there. Raises OSError or EOFError when it does not come."""
        self.exit.settimeout(timeout)
        data = self.exit.recv(START.size)
        self.exit.setblocking(False)
        if len(data) < START.size:
            raise EOFError("the fork server has ended")
        [self.pid] = START.unpack(data)
        if self.pid < 0:
            raise NoProcess(f"No process can be started for a job: {os.strerror(-self.pid)}.")

    @property
    def has_ended(self) -> bool:
        """True when nobody has read yet how it has ended."""
        poll = select.poll()  # `select.select` knows no descriptor above 1,023
        poll.register(self.exit, select.POLLIN)
        return bool(poll.poll(0))

    def send_signal(self, number: int, to_group: bool = False) -> None:
        """Send a signal to the process, or to its group; it may be gone."""
        with suppress(ProcessLookupError, PermissionError):
            (os.killpg if to_group else os.kill)(self.pid, number)

    def kill(self) -> None:
        """Kill the process and its group; the fork server kills what else is left."""
        self.send_signal(signal.SIGKILL, to_group=True)
        self.send_signal(signal.SIGKILL)

    def read_exit(self) -> Exit | None:
        """Return how it has ended, as the fork server says; None when that is dead, too."""
        try:
            data = self.exit.recv(EXIT.size)
        except OSError:
            return None
        if len(data) < EXIT.size:
            return None
        status, cpu_seconds, peak_memory = EXIT.unpack(data)
        return Exit(os.waitstatus_to_exitcode(status), cpu_seconds, peak_memory)

    def close(self) -> None:
        """Close all that leads to it, once."""
        self._descriptors.close()


def _open_pipe(ours: ExitStack, theirs: ExitStack) -> tuple[int, int]:
    mine, their = os.pipe()
    ours.callback(os.close, mine)
    theirs.callback(os.close, their)
    return mine, their


def _open_socket(ours: ExitStack, theirs: ExitStack) -> tuple[socket.socket, int]:
    mine, their = socket.socketpair()
    return ours.enter_context(mine), theirs.enter_context(their).fileno()


class ForkServer:
    """Gives processes for jobs, one of which may be ready; starts its server when first used."""

    def __init__(self, preload: Sequence[str] = ()) -> None:
        self._preload = list(preload)
        # Guards all below.
        self._lock = threading.Lock()
        self._server: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._spare: JobProcess | None = None
        # What the environment of the server says, and all processes that it has started for us.
        self._mark = ""
        self._pids: set[int] = set()
        # What is noted of the code that it has loaded.
        self.loaded: dict[str, str] = {}
        self.problem: str | None = None  # what it could not import

    def take(self) -> JobProcess:
        """Return a process that waits for a task; the caller has to close it.

        Raises NoProcess when none can be started.
        """
        with self._lock:
            for _ in range(3):
                try:
                    return self._take()
                except (OSError, EOFError) as error:
                    if getattr(error, "errno", None) in OWN_SHORTAGES:
                        break  # a server that other jobs need would have the same
                    logger.warning("The fork server is started anew: %r", error)
                    self._stop()
        raise NoProcess("No process can be started for jobs: see the log of the engine.")

    def prepare(self) -> None:
        """Start the server, unless that was done. Raises NoProcess as `take` does."""
        if self._server is None:
            self.take().close()
            self.make_spare()

    def make_spare(self) -> None:
        """Have a process ready for the next job.

        Not while a job runs that may be short: whoever waits for its end would wait for this, too.
        """
        with self._lock:
            if self._control is not None and self._spare is None:
                with suppress(OSError):  # that the server is gone is seen when a process is taken
                    self._spare = JobProcess(self._control)

    def clear_up(self) -> None:
        """End what is left of a server that is dead: what jobs have left, too."""
        with self._lock:
            if self._server is None:
                return
            with suppress(subprocess.TimeoutExpired):
                self._server.wait(DEATH_TIMEOUT)
                self._stop()

    def close(self) -> None:
        """End the server and all its processes."""
        with self._lock:
            self._stop(END_TIMEOUT + 1)

    def _take(self) -> JobProcess:
        timeout = FORK_TIMEOUT if self._control else START_TIMEOUT
        is_new, control = self._control is None, self._control or self._start()
        for _ in range(3):
            spare, self._spare = self._spare, None
            process = spare or JobProcess(control)
            try:
                process.wait_for_start(timeout)
            except BaseException as error:
                process.close()
                if spare and isinstance(error, NoProcess):
                    continue  # that was so when it was asked for
                raise
            if not process.has_ended:
                self._pids.add(process.pid)
                if is_new:  # it has said so before it started any
                    self.problem = control.recv(MAX_PROBLEM).rstrip(b"\0").decode() or None
                return process
            process.close()  # something has killed it while it waited
        raise NoProcess("Processes for jobs end before they get one: see the log of the engine.")

    def _start(self) -> socket.socket:
        # Those of a server that is killed.
        adopt_orphans()
        self._mark, self.loaded = uuid.uuid4().hex, {}
        self._control, theirs = socket.socketpair()
        with theirs:
            config = json.dumps([sys.path, os.getpid(), theirs.fileno(), self._preload])
            self._server = subprocess.Popen(
                [sys.executable, "-c", _COMMAND, config],
                stdin=subprocess.DEVNULL,
                env={**_server_environment(), _MARK: self._mark},
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        return self._control

    def _stop(self, patience: float = 0.0) -> None:
        if self._spare is not None:
            with suppress(OSError, EOFError, NoProcess):
                self._spare.wait_for_start(0)
                self._pids.add(self._spare.pid)
            self._spare.close()
        if self._control is not None:
            self._control.close()
        if self._server is not None:
            with suppress(subprocess.TimeoutExpired):
                self._server.wait(patience)
            self._server.kill()
            self._server.wait()
            self._kill_orphans()
        self._spare = self._control = self._server = None

    def _kill_orphans(self) -> None:
        """Kill what a dead server has left; the children of that then become ours, and so on."""
        deadline = time.monotonic() + END_TIMEOUT
        while time.monotonic() < deadline and (orphans := self._orphans()):
            for orphan in orphans:
                with suppress(psutil.Error):
                    orphan.kill()
                with suppress(psutil.Error):  # one that cannot be killed goes on
                    orphan.wait(max(0.0, deadline - time.monotonic()))
        self._pids.clear()

    def _orphans(self) -> list[psutil.Process]:
        found = []
        for child in psutil.Process().children():
            with suppress(psutil.Error, ProcessLookupError):
                # Each process of ours leads a session. A program may have been started without an
                # environment, or in another session, but hardly both.
                is_ours = {child.pid, os.getsid(child.pid)} & self._pids
                if is_ours or child.environ().get(_MARK) == self._mark:
                    found.append(child)
        return found


def _server_environment() -> dict[str, str]:
    env = {name: value for name, value in os.environ.items() if name not in SECRET_VARIABLES}
    if env.get("MPLBACKEND") == _INLINE_BACKEND:
        del env["MPLBACKEND"]
    return env
