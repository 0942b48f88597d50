"""What all systems have in common: start, submit, read results, stop and leave nothing behind."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

BENCH = Path(__file__).parents[1]
WORKERS = 2
# Seconds that a worker may take to end when asked to, and a result to come.
STOPPED_WITHIN, RESULT_WITHIN = 5.0, 60
# Where programs of a system find its Redis; not on a command line, because of the password.
REDIS_URL = "PEER_REDIS_URL"
# What such programs print.
LOG = "programs.log"


class NotOfferedError(Exception):
    """The system cannot do this, and says why."""


class Peer:
    """A system with two workers; a subclass says how it is started and spoken to."""

    # Whether each job runs in a process that ran none before.
    process_each = False

    def __init__(self) -> None:
        self._running = ExitStack()
        self.directory = Path(self._running.enter_context(tempfile.TemporaryDirectory()))

    def start(self) -> None:
        """Start servers and workers, and connect the submitter."""
        raise NotImplementedError

    def submit(self) -> Any:
        """Submit one job; return what `result` takes."""
        raise NotImplementedError

    def submit_many(self, jobs: int) -> Callable[[], list[Any]]:
        """Submit so many jobs at once; return what waits for all of them and gives their results.

        Raises NotOfferedError where there is no such way.
        """
        raise NotImplementedError

    def result(self, job: Any) -> Any:
        """Wait for one job and return its result."""
        raise NotImplementedError

    def results(self, jobs: list[Any]) -> list[Any]:
        """Wait for all these jobs and return their results."""
        return [self.result(job) for job in jobs]

    def forget(self) -> None:
        """Drop what the submitter still holds of jobs whose results were read."""

    def log(self) -> str:
        """Return the end of what the programs that were started have printed."""
        log = self.directory / LOG
        return log.read_text(errors="replace")[-2000:] if log.exists() else ""

    def stop(self) -> None:
        """End all that was started."""
        self._running.close()

    def start_redis(self) -> str:
        """Start a private server; its URL is in the environment of what is started after it."""
        from moi_django.contrib.services.embedded_redis import EmbeddedRedis

        url = self._running.enter_context(EmbeddedRedis()).url
        os.environ[REDIS_URL] = url
        return url

    def start_program(self, *arguments: str, **env: str) -> None:
        """Start a Python program, such as a worker, until `stop`."""
        self._running.enter_context(_running_program(arguments, env, self.directory))


@contextmanager
def _running_program(arguments: tuple[str, ...], env: dict[str, str], directory: Path):
    from moi_django.contrib.services.parent_death import with_parent_death_signal

    path = os.pathsep.join([str(BENCH), os.environ.get("PYTHONPATH", "")])
    with (directory / LOG).open("ab") as log:
        process = subprocess.Popen(
            with_parent_death_signal([sys.executable, *arguments]),
            env={**os.environ, "PYTHONPATH": path, **env},
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOPPED_WITHIN)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
