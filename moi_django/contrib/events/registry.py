"""Events as consumers get them, and which consumers there are in this process."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from moi_django.conf import conf
from moi_django.models import Info


class EventKind(StrEnum):
    """What has become of a job."""

    SUBMITTED = "submitted"
    # An attempt has begun.
    STARTED = "started"
    # Its state or status text is another, or it was retried, and it is none of the others.
    CHANGED = "changed"
    # It has come to its end, or was removed before that; it is then told as cancelled.
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class JobEvent:
    """One thing that has become of a job."""

    # Of its entry in the stream: a later one of the same stream is greater.
    id: str
    kind: EventKind
    # The job as it was then; it may be gone by now.
    info: Info
    # When that was, by the clock of Redis; with a zone.
    time: datetime
    # The result was too long for the stream: `info.result` is None.
    result_omitted: bool = False


Handler = Callable[[Sequence[JobEvent]], object]
Tick = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Consumer:
    """Who hears of events under a name, which stays the same over restarts."""

    name: str
    handler: Handler
    # How many events the handler gets at most; as many may be told again after a process has died.
    batch: int = 100
    # Called about once a second where the events are read, also when there are none.
    tick: Tick | None = None


# More would not fit in one command of Redis that notes them as dealt with.
MAX_BATCH = 1_000

_consumers: dict[str, Consumer] = {}


def register(name: str, handler: Handler, *, batch: int = 100, tick: Tick | None = None) -> None:
    """Let a handler hear of events from now on; to be called in ready() of an AppConfig.

    Another handler of the same name takes the place of the first. What happened before the first
    process with this consumer was started is told only as far as others have yet to hear of it.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,49}", name) or not 1 <= batch <= MAX_BATCH:
        raise ValueError(f"{name!r} cannot consume events, {batch} at once.")
    _consumers[name] = Consumer(name, handler, batch, tick)
    conf.hears_events = True


def unregister(name: str) -> None:
    """Undo `register`, if it was done: what is told from now on is kept for no one of that name."""
    _consumers.pop(name, None)
    conf.hears_events = bool(_consumers)


def consumers() -> list[Consumer]:
    """Return those that were registered in this process."""
    return list(_consumers.values())
