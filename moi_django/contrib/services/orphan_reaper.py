"""End what `moi up` has left when it could not do so itself.

This process is started before all others and outlives its starter for moments. A pipe that closes
without a farewell tells it that the starter is gone, however that went. It knows what is left by a
mark in the environment, which programs hand on to those they start; and by the sessions of the
starter's children, because a program may be started with an empty environment.
"""

import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Self, cast

import psutil

from moi_django.contrib.services.service_state import lock_state_dir
from moi_django.exceptions import ServiceError

MARK = "MOI_UP"
_MODULE = "moi_django.contrib.services.orphan_reaper"
# Seconds to end when asked to, and how often what is started meanwhile is looked for.
TERMINATE_TIMEOUT, SEARCH_ROUNDS = 3.0, 10
# Said instead of sessions.
FAREWELL = None


class OrphanReaper:
    """In the process that starts everything: `with OrphanReaper(...)` nothing of that is left.

    Neither when the block ends nor when the process is killed. `directory` is that of its state,
    `path` is where the modules are found.
    """

    def __init__(self, directory: Path, path: str) -> None:
        self._directory, self._path = directory, path

    def __enter__(self) -> Self:
        mark = secrets.token_hex(16)
        os.environ.pop(MARK, None)
        self._process = subprocess.Popen(
            [sys.executable, "-m", _MODULE, mark, str(self._directory)],
            env={**os.environ, "PYTHONPATH": self._path},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.environ[MARK] = mark
        return self

    def note_sessions(self) -> None:
        """Tell the process in which sessions the children of this one are, besides its own."""
        sessions = {_session(child) for child in psutil.Process().children()}
        # Other programs of the terminal are in that of this process.
        self._write_line([*(sessions - {None, os.getsid(0), self._process.pid})])

    def __exit__(self, *error: object) -> None:
        end_all(self._orphans)
        self._write_line(FAREWELL)
        with suppress(OSError):
            cast(IO[bytes], self._process.stdin).close()
        self._process.wait()
        del os.environ[MARK]

    def _write_line(self, what: object) -> None:
        pipe = cast(IO[bytes], self._process.stdin)
        with suppress(OSError):  # it was killed, and nobody else can do its work
            pipe.write(f"{json.dumps(what)}\n".encode())
            pipe.flush()

    def _orphans(self) -> list[psutil.Process]:
        below = psutil.Process().children(recursive=True)
        return [process for process in below if process.pid != self._process.pid]


def end_all(find: Callable[[], list[psutil.Process]]) -> None:
    """End processes, kindly first, until none is found any more."""
    for _ in range(SEARCH_ROUNDS):
        left = find()
        for process in left:
            with suppress(psutil.Error):
                process.terminate()
        _, stubborn = psutil.wait_procs(left, TERMINATE_TIMEOUT)
        for process in stubborn:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(stubborn, TERMINATE_TIMEOUT)
        if not left:
            return


def _session(process: psutil.Process) -> int | None:
    with suppress(OSError):
        return os.getsid(process.pid)
    return None


def _belongs(process: psutil.Process, mark: str, sessions: set[int]) -> bool:
    try:
        if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
            return False
        return _session(process) in sessions or process.environ().get(MARK) == mark
    except (psutil.Error, OSError):
        return False  # another user's, or gone


def _until_alone() -> set[int] | None:
    """Wait for the end of the starter; return the sessions it has left, None after a farewell."""
    sessions: set[int] = set()
    for line in sys.stdin:
        with suppress(ValueError):  # the starter was killed in the middle of it
            said = json.loads(line)
            if said is FAREWELL:
                return None
            sessions = set(said)
    return sessions


def main(mark: str, directory: str) -> None:
    """Wait for the end of the starter and put away what it has left."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    sessions = _until_alone()
    if sessions is None:
        return
    end_all(lambda: [each for each in psutil.process_iter() if _belongs(each, mark, sessions)])
    if Path(directory).exists():
        with suppress(ServiceError), lock_state_dir(Path(directory)):
            pass  # which puts it away, unless the next one runs
    # Costs an import of Redis, which this process does without as long as all is well.
    from moi_django.contrib.services.embedded_redis import remove_stale

    remove_stale()


if __name__ == "__main__":
    main(*sys.argv[1:])
