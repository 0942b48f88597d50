"""One attempt at a job in the thread that has submitted it, by what engines run attempts with."""

import asyncio
import os
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import replace
from typing import Any

from asgiref.sync import async_to_sync
from django.conf import settings
from django.db import connections
from django.utils import timezone, translation

from moi_django.contrib.testing.caller_output import capture
from moi_django.engine.attempt_end import AttemptEnd
from moi_django.engine.attempt_runner import AttemptRunner
from moi_django.engine.current import CurrentJob, ProgressUpdate
from moi_django.engine.job_process import Outcome, Usage, failed_outcome, run_task
from moi_django.engine.job_reporter import JobReporter
from moi_django.engine.listener import GuardedListener
from moi_django.engine.messages import Connection, Task, encode, pop_checked, pop_message
from moi_django.engine.payloads import Payload
from moi_django.engine.tqdm_progress import follow_tqdm


class CallerAttempt(AttemptRunner):
    """An attempt whose function is called here; its timeout and limit of memory do not count."""

    # What is to end this process, or the test, and not the job alone.
    interrupt: BaseException | None = None

    def _run_task(self, payload: Payload) -> AttemptEnd:
        task = self._task(payload)
        listener = GuardedListener(task, self, len)
        reporter = CallerReporter(CallerConnection(task, listener), task)
        before = Usage.now()
        follow_tqdm()
        with capture(listener.tell_output), unbroken_transactions(), default_language():
            # What it sets in its context, such as the language, stays there.
            outcome = copy_context().run(self._call, reporter, task)
        used = Usage.now()
        return AttemptEnd(
            outcome.state,
            outcome.result,
            outcome.display,
            used.cpu - before.cpu,
            used.peak_memory,
            exception=outcome.exception,
        )

    def _call(self, reporter: "CallerReporter", task: Task) -> Outcome:
        try:
            return run_task(reporter, task, lambda: None)
        except BaseException as error:
            if not isinstance(error, (Exception, SystemExit, asyncio.CancelledError)):
                self.interrupt = error
            return failed_outcome(error, task)

    def wait_for(self, id: str) -> None:
        """Do nothing: what it waits for runs when it does so."""

    def wait_over(self, id: str) -> None:
        """Do nothing."""


class CallerReporter(JobReporter):
    """Tells at once what a job says of itself."""

    def make_current_job(self) -> CurrentJob:
        """Return the job as its code sees it."""
        return replace(super().make_current_job(), run_coroutine=run_coroutine)

    def note_progress(self, update: ProgressUpdate) -> None:
        """Report how far the job is; what comes soon after a report is left for the next one."""
        self._update = update
        if time.monotonic() >= self._next_report:
            self._report_progress()


class CallerConnection(Connection):
    """Hands what a job says to who keeps it, without a process between them."""

    def __init__(self, task: Task, listener: GuardedListener) -> None:
        self._task, self._listener, self._pid = task, listener, os.getpid()

    def send(self, frame: bytes) -> None:
        """Hand on a frame; in a forked process do nothing."""
        message = pop_checked(bytearray(frame), self._task)
        if message is not None and self.is_own:
            self._listener.take(message)
            self._listener.tell_latest()

    def request(self, kind: str, data: bytes, /, **fields: Any) -> dict[str, Any]:
        """Hand on a message and return the fields of the answer to it."""
        message = pop_checked(bytearray(encode(kind, data, number=0, **fields)), self._task)
        assert message is not None  # noqa: S101 - it is whole
        answer = pop_message(bytearray(self._listener.save_file(message)))
        return answer.fields if answer else {}


def run_coroutine(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine such that what it does with the database is done in this thread."""
    return async_to_sync(_finish)(coroutine)


async def _finish(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return await coroutine


@contextmanager
def default_language() -> Iterator[None]:
    """Let a job find those of the site where it has none of its caller, and leave that its own."""
    zone = timezone.get_default_timezone()
    with translation.override(settings.LANGUAGE_CODE), timezone.override(zone):
        yield


@contextmanager
def unbroken_transactions() -> Iterator[None]:
    """Undo what a job did in the transaction of its caller when it leaves that unusable.

    On an engine it has none, and an error in it concerns nobody else.
    """
    opened = [each for each in connections.all(initialized_only=True) if each.in_atomic_block]
    whole = [each for each in opened if each.features.uses_savepoints and not each.needs_rollback]
    savepoints: list[tuple[Any, Any]] = [(each, each.savepoint()) for each in whole]
    yield
    for connection, savepoint in savepoints:
        if connection.needs_rollback:
            connection.needs_rollback = False
            connection.savepoint_rollback(savepoint)
        else:
            connection.savepoint_commit(savepoint)
