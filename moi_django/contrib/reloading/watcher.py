"""Notice that files of a project have changed, by the means of Django's own reloader."""

import logging
import os
import threading
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NamedTuple

from django.utils.autoreload import (
    StatReloader,
    autoreload_started,
    file_changed,
    iter_all_python_module_files,
)

from moi_django.contrib.reloading.site_code import code_files

logger = logging.getLogger(__name__)

# Seconds between two looks, and for which nothing more has to change.
INTERVAL, QUIET = 1.0, 0.2


class Changes(NamedTuple):
    """What has changed at once."""

    # What was loaded, so that a process has to be started anew.
    code: list[Path]
    # What apps of Django forget when they are told, such as templates and translations.
    other: list[Path]


class CodeWatcher:
    """Compares the files of all modules that are loaded here, and of the site, as they were."""

    def __init__(self) -> None:
        self._reloader = StatReloader()
        # Apps say here what they want to hear of.
        autoreload_started.send(sender=self._reloader)
        self._seen = self._look()

    def run(self, tell: Callable[[Changes], object], stop: threading.Event) -> None:
        """Tell of changes until told to stop."""
        while not stop.wait(INTERVAL):
            try:
                if changed := self._changed():
                    # An editor, or a change of branch, writes several.
                    while not stop.wait(QUIET) and (more := self._changed()):
                        changed |= more
                    tell(self._sort(changed))
            except OSError as error:  # a directory that has just gone, say
                logger.warning("Cannot look for changes of code: %s", error)

    def _look(self) -> dict[Path, float]:
        self._reloader.extra_files.update(code_files())
        return dict(self._reloader.snapshot_files())

    def _changed(self) -> set[Path]:
        before, self._seen = self._seen, self._look()
        changed = {path for path, _ in before.items() ^ self._seen.items()}
        # A module that is only now imported here is no new file.
        imported = set(iter_all_python_module_files()) - self._reloader.extra_files
        return {path for path in changed if path in before or path not in imported}

    def _sort(self, changed: Collection[Path]) -> Changes:
        found = Changes([], [])
        for path in sorted(changed):
            answers = file_changed.send(sender=self._reloader, file_path=path)
            is_told = any(answer for _, answer in answers)
            (found.other if is_told else found.code).append(path)
        return found


def follow_changes(descriptor: int = 0) -> None:
    """Let apps of Django forget what is in a file when a line of a descriptor has its path."""
    threading.Thread(target=_follow, args=[descriptor], daemon=True, name="moi-changes").start()


def _follow(descriptor: int) -> None:
    rest = b""
    # Not by a file object: its lock would be held when Python ends.
    while data := os.read(descriptor, 4096):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            file_changed.send(sender=None, file_path=Path(os.fsdecode(line)))


def describe(paths: Collection[Path]) -> str:
    """Return which files these are, in short."""
    first, *more = sorted(paths)
    name = os.path.relpath(first)
    name = str(first) if name.startswith("..") else name
    return f"{name} and {len(more)} more" if more else name
