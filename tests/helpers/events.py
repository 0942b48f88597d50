"""Consumers of events that tests watch, and programs that read events and are killed."""

import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from moi_django.contrib.events import JobEvent, register
from moi_django.store import Store


class Recorder:
    """A consumer that keeps what it was told, and raises what it is to raise."""

    def __init__(self) -> None:
        self.batches: list[list[JobEvent]] = []
        self.error: Exception | None = None
        self.calls = 0

    def __call__(self, events: Sequence[JobEvent]) -> None:
        """Take some events."""
        self.calls += 1
        if self.error is not None:
            raise self.error
        self.batches.append(list(events))

    @property
    def events(self) -> list[JobEvent]:
        """All that was told, in its order."""
        return [event for batch in self.batches for event in batch]

    def told(self, id: str | None = None) -> list[tuple[str, str]]:
        """Return the kinds and the states that were told of a job, or of all."""
        kept = [event for event in self.events if id in (None, event.info.id)]
        return [(str(event.kind), str(event.info.state)) for event in kept]


def entries(store: Store) -> list[Any]:
    """Return what is in the stream."""
    redis: Any = store.connection.redis
    return list(redis.xrange(store.keys.events))


def read_and_die(path: str) -> None:
    """Read events as a reconciler does; note the first one, and be killed before it is done."""
    import django

    django.setup()
    from moi_django.contrib.events.reader import running_readers

    def note(events: Sequence[JobEvent]) -> None:
        Path(path).write_text(" ".join(event.info.id for event in events))
        os.kill(os.getpid(), signal.SIGKILL)

    register("recorder", note, batch=1)
    with running_readers():
        threading.Event().wait()


if __name__ == "__main__":
    read_and_die(sys.argv[1])
