"""What a job says of itself leaves its process in the order in which it was said."""

import socket
import threading
import time
from contextlib import suppress

import pytest

from moi_django.engine import job_reporter
from moi_django.engine.current import ProgressUpdate
from moi_django.engine.job_reporter import JobReporter
from moi_django.engine.messages import Connection, pop_message
from tests.helpers.job_processes import make_task
from tests.helpers.processes import wait_for


class SlowConnection(Connection):
    """One on which a thread waits before it sends, for as long as another one may overtake it."""

    def __init__(self, ours, theirs):
        super().__init__(ours.fileno())
        self.is_sending, self.may_send = threading.Event(), threading.Event()
        self._theirs, self._received, self._shares = theirs, bytearray(), []

    def send(self, frame):
        if threading.current_thread().name == "moi-progress":
            self.is_sending.set()
            self.may_send.wait(0.5)
        super().send(frame)

    def shares(self):
        """Return all that was sent until now."""
        with suppress(BlockingIOError):
            self._received += self._theirs.recv(1 << 20)
        while message := pop_message(self._received):
            self._shares.append(message.fields["progress"])
        return self._shares


@pytest.fixture
def connection(monkeypatch):
    monkeypatch.setattr(job_reporter, "PROGRESS_INTERVAL", 0.01)
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    with ours, theirs:
        yield SlowConnection(ours, theirs)


@pytest.fixture
def reporter(connection):
    reporter = JobReporter(connection, make_task(len))
    yield reporter
    reporter.close()


@pytest.fixture
def say(reporter):
    return lambda share: reporter.note_progress(ProgressUpdate(share, 0.0, None))


def test_no_progress_is_overtaken_by_what_was_said_later(connection, reporter, say):
    say(0.1)
    say(0.2)
    assert connection.is_sending.wait(30)
    wait_for(lambda: time.monotonic() > reporter._next_report)
    say(0.3)
    connection.may_send.set()
    wait_for(lambda: len(connection.shares()) == 3)
    assert connection.shares() == [0.1, 0.2, 0.3]


def test_what_is_said_while_the_reporter_ends_is_reported(connection, say):
    connection.may_send.set()
    for number in range(1, 20_001):
        say(number)
        if number % 200 == 0:
            wait_for(lambda number=number: connection.shares()[-1] == number)
