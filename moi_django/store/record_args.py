"""What scripts are handed besides a record: what follows from it, and from the one before."""

import time
from typing import Any

from moi_django.models import Info, State, timestamp
from moi_django.store.scripts import MAX_EVENT


def next_place(old: Info, new: Info, delay: float) -> str:
    """Return where an attempt belongs after a change, as change.lua has it."""
    if new.is_group or (new.state, new.attempt) == (old.state, old.attempt):
        return ""
    if new.state is State.QUEUED:
        return "delayed" if delay else "waiting"
    return "running" if new.state is State.RUNNING else "none"


def max_payload(info: Info, retry_limit: int) -> int | str:
    """Return the length beyond which the payload of a job is dropped; "" keeps any.

    With that of a task are the arguments that its result tells.
    """
    if info.task:
        return ""
    if info.state is State.SUCCESS or info.retried:
        return 0
    # No longer sent by itself, but somebody may retry it.
    return retry_limit if info.finished else ""


def lane_args(info: Info) -> dict[str, Any]:
    """Return where a job waits, as scripts take it."""
    return {
        "queue": info.queue,
        "owner": info.owner,
        "limit": info.limit or "",
        "priority": info.priority,
    }


def delay_of(info: Info) -> float | str:
    """Return the seconds until a job may begin, or "" when it may."""
    seconds = timestamp(info.run_after) - time.time()
    return seconds if seconds > 0 else ""


def used_seconds(old: Info, new: Info) -> float:
    """Return for how many seconds an attempt has run that ends now, if one does."""
    if old.state is not State.RUNNING:
        return 0.0
    return new.runs[-1].ran_seconds if new.attempt > old.attempt else new.ran_seconds() or 0.0


def durations(info: Info) -> tuple[float | str, float]:
    """Return for how many seconds a job that has ended ran, or "", and how long it had waited."""
    if not info.finished or info.retried:
        return "", 0.0
    return info.ran_seconds() or 0.0, info.waited_seconds()


def told_json(info: Info, json: str) -> str:
    """Return the info object that an event tells, without a long result; "" if it is `json`."""
    return info.to_wire(MAX_EVENT // 2) if len(json) > MAX_EVENT else ""


def end_of_removed(info: Info) -> str:
    """Return the end that is told of a job which is removed before it has one; else ""."""
    return info.ended(State.CANCELLED).to_wire(MAX_EVENT // 2) if info.cancellable else ""
