"""What the code of a job says of it, from the job process to its supervisor."""

import os
import tempfile
import threading
import time
from pathlib import Path

from moi_django import exceptions
from moi_django.engine.current import Checkpoint, CurrentJob, ProgressUpdate
from moi_django.engine.messages import MAX_DATA, MAX_TEXT, Connection, Task, encode
from moi_django.exceptions import InvalidJob, MoiError
from moi_django.models import State
from moi_django.validation import escape_surrogates

# Seconds between two reports of progress.
PROGRESS_INTERVAL = 0.05


class JobReporter:
    """Tells the supervisor what the job says of itself."""

    def __init__(self, connection: Connection, task: Task) -> None:
        self._connection, self._task = connection, task
        self._status = State.RUNNING.status
        self._update: ProgressUpdate | None = None
        self._checkpoint = Checkpoint(
            task.checkpoint, lambda json: self._send(encode("checkpoint", json.encode()))
        )
        self._next_report = 0.0
        # What is reported last is what was noted last; a signal handler may note something, too.
        self._reporting, self._has_reporter = threading.RLock(), False
        # In a process that has more tasks, a thread of an earlier job must not speak as another.
        self._is_over = False

    def close(self) -> None:
        """Report what was left for later, and nothing from then on."""
        if self._connection.is_own:
            with self._reporting:
                self._report_progress()
        self._checkpoint.flush()
        self._is_over = True

    def _send(self, frame: bytes) -> None:
        if not self._is_over:
            self._connection.send(frame)

    def make_current_job(self) -> CurrentJob:
        """Return the job as its code sees it."""
        task = self._task
        return CurrentJob(
            *(task.id, task.name, task.attempt, task.context, task.parent),
            status_update=self.update_status,
            _note_progress=self.note_progress,
            _attach=self.attach,
            _note_wait=self.note_wait,
            _checkpoint=self._checkpoint,
            info_json=task.info,
            language=task.language,
            time_zone=task.time_zone,
            request_id=task.request_id,
        )

    def update_status(self, status: str) -> str:
        """Show a status text; return the one before."""
        text = escape_surrogates(str(status))[: min(self._task.status_limit, MAX_TEXT)]
        before, self._status = self._status, text
        self._send(encode("status", text=text))
        return before

    def note_progress(self, update: ProgressUpdate) -> None:
        """Report how far the job is; what comes soon after a report is left to a thread."""
        if not self._connection.is_own:
            return  # another thread may have held the lock when this process was forked
        with self._reporting:
            self._update = update
            if time.monotonic() >= self._next_report:
                self._report_progress()
            elif not self._has_reporter:
                threading.Thread(
                    target=self._report_until_quiet, daemon=True, name="moi-progress"
                ).start()
                self._has_reporter = True

    def _report_progress(self) -> None:
        update, self._update = self._update, None
        if update is not None:
            self._next_report = time.monotonic() + PROGRESS_INTERVAL
            self._send(encode("progress", **update._asdict()))

    def _report_until_quiet(self) -> None:
        is_quiet = False
        while not is_quiet:
            time.sleep(PROGRESS_INTERVAL)
            with self._reporting:
                is_quiet = self._update is None
                self._has_reporter = not is_quiet
                self._report_progress()

    def attach(self, name: str, content: "bytes | str | os.PathLike[str]") -> None:
        """Have a file kept; bytes that are many go through a file."""
        if not self._connection.is_own:
            raise MoiError("A process that the job has forked cannot attach files to it.")
        if not isinstance(name, str):
            raise InvalidJob(f"{name!r} is no name for a file: give a string.")
        if isinstance(content, bytes):
            self._attach_bytes(name[:MAX_TEXT], content)
        elif isinstance(content, (str, os.PathLike)):
            path = os.fsencode(Path(content).absolute())
            self._request_attachment(name[:MAX_TEXT], path, True)
        else:
            raise InvalidJob(f"A file is bytes or a path, not {type(content).__name__}.")

    def _attach_bytes(self, name: str, content: bytes) -> None:
        if len(content) <= MAX_DATA:
            self._request_attachment(name, content, False)
            return
        with tempfile.NamedTemporaryFile() as file:
            file.write(content)
            file.flush()
            self._request_attachment(name, os.fsencode(file.name), True)

    def _request_attachment(self, name: str, data: bytes, is_path: bool) -> None:
        if self._is_over:
            raise MoiError("The job has ended.")
        answer = self._connection.request("attach", data, name=name, is_path=is_path)
        if answer["error"] is not None:
            raise getattr(exceptions, answer["type"])(answer["error"])

    def note_wait(self, id: str, is_over: bool) -> None:
        """Tell that the job waits for another one, or waits no more."""
        self._send(encode("wait_over" if is_over else "wait_for", id=id))
