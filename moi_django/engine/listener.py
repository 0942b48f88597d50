"""What a job says of itself while it runs, and who takes it."""

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from moi_django.engine.current import ProgressUpdate, check_checkpoint
from moi_django.engine.messages import BadMessage, Message, Task, encode
from moi_django.exceptions import InvalidJob, MoiError
from moi_django.models import about

logger = logging.getLogger(__name__)

# How many files are kept at once; a job waits for each.
MAX_SAVING = 8


class Listener(Protocol):
    """Takes what a job says, in the thread of its supervisor, whose job waits while it does so."""

    def write_output(self, stream: str, text: str) -> object:
        """Take what was printed to "stdout" or "stderr", or logged: "log"."""

    def write_status(self, text: str) -> object:
        """Take a status text."""

    def write_progress(self, update: ProgressUpdate) -> object:
        """Take how far the job is."""

    def write_checkpoint(self, json: str) -> object:
        """Take where the next attempt is to go on."""

    def attach(self, name: str, content: bytes | Path) -> object:
        """Keep a file, in a thread of its own: storages may be slow.

        The job gets what is raised, as InvalidJob or as MoiError.
        """

    def wait_for(self, id: str) -> object:
        """Take that the job waits for another one."""

    def wait_over(self, id: str) -> object:
        """Take that it waits no more."""


class GuardedListener:
    """Tells a listener what a job process reports: of a run of updates the last; it may fail.

    `answer` is called with the answers for the process, from other threads.
    """

    def __init__(self, task: Task, listener: Listener, answer: Callable[[bytes], object]) -> None:
        self._task, self._listener, self._answer = task, listener, answer
        self._savers: list[threading.Thread] = []
        # What could not be kept, by its name, and why.
        self._lost: dict[str, str] = {}
        # Updates of which only the latest counts, by their kind.
        self._latest: dict[str, Message] = {}
        self._takers: dict[str, Callable[[Message], object]] = {
            "log": lambda message: self.tell_output("log", message.fields["text"]),
            "attach": self._save_beside,
            "wait_for": lambda message: self._tell(listener.wait_for, message.fields["id"]),
            "wait_over": lambda message: self._tell(listener.wait_over, message.fields["id"]),
        }

    def take(self, message: Message) -> None:
        """Tell what a message says, at once or later. Raises BadMessage when these are too many."""
        if message.kind in ("status", "progress", "checkpoint"):
            self._latest[message.kind] = message
        else:
            self.tell_latest()
            self._takers[message.kind](message)

    def tell_latest(self) -> None:
        """Tell the latest updates."""
        latest, self._latest = self._latest, {}
        if status := latest.get("status"):
            text = status.fields["text"][: self._task.status_limit]
            self._tell(self._listener.write_status, text)
        if progress := latest.get("progress"):
            share, done, total = (progress.fields[name] for name in ProgressUpdate._fields)
            share = None if share is None else min(1.0, max(0.0, share))
            self._tell(self._listener.write_progress, ProgressUpdate(share, done, total))
        kept = latest.get("checkpoint")
        if kept and (json := check_checkpoint(self._task, kept.data)):
            self._tell(self._listener.write_checkpoint, json)

    def tell_output(self, stream: str, text: str) -> None:
        """Tell what was printed or logged."""
        self._tell(self._listener.write_output, stream, text)

    def _save_beside(self, message: Message) -> None:
        self._savers = [saver for saver in self._savers if saver.is_alive()]
        if len(self._savers) >= MAX_SAVING:
            raise BadMessage("more files than it has waited for")
        saver = threading.Thread(
            target=lambda: self._answer(self.save_file(message)), daemon=True, name="moi-attach"
        )
        saver.start()
        self._savers.append(saver)

    def wait_for_files(self, seconds: float) -> str:
        """Wait until all files are kept, or not for longer; return why some are not."""
        deadline = time.monotonic() + seconds
        for saver in self._savers:
            saver.join(max(0.0, deadline - time.monotonic()))
            if saver.is_alive():
                return f"A file was not kept within {seconds:g} s after the end of the job."
        return " ".join(filter(None, self._lost.values()))

    def save_file(self, message: Message) -> bytes:
        """Have a file kept; return the answer, which says why it is not."""
        given, error = message.fields, None
        content = Path(os.fsdecode(message.data)) if given["is_path"] else message.data
        try:
            self._listener.attach(given["name"], content)
        except MoiError as refused:
            error = refused
        except Exception as failed:
            logger.exception(
                "A file of job %s cannot be kept", self._task.id, extra=about(self._task)
            )
            error = MoiError(f"The file {given['name']!r} could not be kept: {failed!r}.")
        kind = "InvalidJob" if isinstance(error, InvalidJob) else "MoiError"
        text = None if error is None else str(error)
        self._lost[given["name"]] = text if text and kind == "MoiError" else ""
        return encode("answer", number=given["number"], error=text, type=kind)

    def _tell(self, take: Callable[..., object], *what: object) -> None:
        try:
            take(*what)
        except Exception:
            logger.exception("What job %s says is lost", self._task.id, extra=about(self._task))
