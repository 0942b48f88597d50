"""Run functions in job processes, as a worker does."""

import gc
import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

import psutil

from moi_django.engine.messages import Task
from moi_django.engine.pickling import PYTHON_VERSION, pickle_call
from moi_django.engine.supervisor import InterruptReason, Supervisor
from moi_django.exceptions import InvalidJob
from tests.helpers.processes import wait_for

LIMIT = 1_000_000


class Notes:
    """A listener that keeps what it hears."""

    def __init__(self):
        self.outputs, self.statuses, self.progress, self.files, self.waits = [], [], [], {}, []
        self.checkpoints = []

    def write_output(self, stream, text):
        self.outputs.append((stream, text))

    def write_status(self, text):
        self.statuses.append(text)

    def write_progress(self, update):
        self.progress.append(update)

    def write_checkpoint(self, json):
        self.checkpoints.append(json)

    def attach(self, name, content):
        if name == "refused":
            raise InvalidJob("not this one")
        if name == "broken":
            raise OSError("disk full")
        self.files[name] = content.read_bytes() if isinstance(content, Path) else content

    def wait_for(self, id):
        self.waits.append(("for", id))

    def wait_over(self, id):
        self.waits.append(("over", id))

    def in_turn(self):
        """Return what was printed, grouped where the stream changes."""
        return groupby(self.outputs, lambda piece: piece[0])

    def text(self, *streams):
        """Return what was printed, to one of some streams if they are given."""
        return "".join(text for name, text in self.outputs if name in (streams or (name,)))


def make_task(function, *args, **fields):
    given = {
        "id": "a-job",
        "name": "A job",
        "attempt": 1,
        "context": "default",
        "parent": None,
        "payload": pickle_call((function, args, {}), LIMIT),
        "python": PYTHON_VERSION,
        "result_limit": LIMIT,
        "status_limit": 200,
        "display_limit": LIMIT,
    }
    return Task(**{**given, **fields})


def run_job(server, function, *args, listener=None, **options):
    """Run a function in a fresh process; return the end and the listener."""
    notes = listener or Notes()
    supervisor = Supervisor(server.take(), make_task(function, *args), notes, **options)
    return supervisor.run(), notes


@contextmanager
def timing_out(supervisor, condition):
    """Let the attempt that is run in the block time out once something is so."""

    def interrupt():
        wait_for(condition)
        supervisor.interrupt(InterruptReason.TIMEOUT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    yield
    thread.join()


def is_alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def open_descriptors() -> set[int]:
    """Return the descriptors of this process."""
    names = os.listdir("/proc/self/fd")
    return {int(name) for name in names if os.path.exists(f"/proc/self/fd/{name}")}


@contextmanager
def descriptors_left(count: int) -> Iterator[set[int]]:
    """Let this process open so many more at most, until the block ends; gives those it has."""
    gc.collect()  # what other tests have left would be closed in the shortage
    before, limits = open_descriptors(), resource.getrlimit(resource.RLIMIT_NOFILE)
    free = sorted(set(range(max(before) + count + 2)) - before)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free[count], limits[1]))
    try:
        yield before
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
