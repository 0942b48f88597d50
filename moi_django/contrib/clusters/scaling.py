"""Start, scale and stop the cluster of a context, one act at a time wherever it comes from.

A running job ends where it is: engines are taken away that are pending, then those that have no
job, then those that leave when theirs has ended.
"""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from moi_django.contrib.clusters.context_settings import ContextSettings
from moi_django.contrib.clusters.context_status import (
    STARTING,
    ContextEngine,
    ContextStatus,
    EngineCondition,
    ManagedContext,
)
from moi_django.contrib.clusters.controller import EngineList
from moi_django.exceptions import ServiceError, UsageError
from moi_django.state_dir import make_private, try_lock

# Seconds to wait for another act with the same context, also where a page waits for it, and between
# two looks.
LOCK_TIMEOUT, SHORT_TIMEOUT, LOOK_INTERVAL = 120.0, 5.0, 0.5
WITHOUT_CONTROLLER = (EngineCondition.STARTING, EngineCondition.CUT_OFF)
# In which order engines are taken away.
ORDER = (EngineCondition.PENDING, EngineCondition.IDLE, EngineCondition.BUSY)


@dataclass(slots=True)
class Change:
    """What was done."""

    # Process of a controller that was started, or ended.
    controller: int | None = None
    submitted: list[str] = field(default_factory=list)
    # Ids of slots that were dropped before they began, or killed.
    cancelled: list[str] = field(default_factory=list)
    killed: list[str] = field(default_factory=list)
    # Engines that leave, those that have a job among them.
    leaving: list[str] = field(default_factory=list)
    busy: list[str] = field(default_factory=list)
    # Why hosts were left out.
    silent: list[str] = field(default_factory=list)


class ContextBusy(ServiceError):
    """Say that somebody else changes a context."""


@contextmanager
def locked(context: ContextSettings, timeout: float = LOCK_TIMEOUT) -> Iterator[ManagedContext]:
    """Be the only one to change a context. Raises ContextBusy when another one goes on so long.

    Raises ServiceError when there is no place for what is noted of it.
    """
    until = time.monotonic() + timeout
    with _open_lock(context.directory) as lock:
        while not try_lock(lock.fileno(), fcntl.LOCK_EX):
            if time.monotonic() >= until:
                raise ContextBusy(f"Context {context.name} is being changed by another process.")
            time.sleep(LOOK_INTERVAL)
        yield ManagedContext(context)


def _open_lock(directory: Path) -> BinaryIO:
    """Open the lock of a context, in a directory that is for this user alone."""
    try:
        make_private(directory)
        return (directory / "lock").open("wb")
    except OSError as error:
        raise ServiceError(
            f"Clusters cannot be kept below MOI['STATE_DIR']: {error}. Let it be a directory in "
            "which this user may write."
        ) from error


def start(context: ContextSettings, count: int | None = None) -> Change:
    """Start the controller unless it runs, and engines as far as they are missing.

    Raises ServiceError in the words of what refuses; a controller that was started for it is
    stopped again.
    """
    count = context.initial if count is None else count
    context.check_count(count)
    with locked(context) as managed:
        change = Change()
        if managed.controller.pid is None:
            managed.start_controller()
            change.controller = managed.controller.pid
        try:
            present = _submit_missing(managed, count, change)
        except ServiceError:
            if change.controller is not None:
                managed.controller.stop()
            raise
        managed.wanted = max(present, count)
        return change


def scale(context: ContextSettings, count: int, waits: bool = True) -> Change:
    """Have so many engines from now on. Raises ServiceError, as `start` does, or UsageError.

    Unless it waits, those that have just begun are let go later, by the reconciler.
    """
    context.check_count(count)
    with locked(context, LOCK_TIMEOUT if waits else SHORT_TIMEOUT) as managed:
        if managed.controller.pid is None:
            raise ServiceError(
                f"Context {context.name} does not run: `moi cluster start --context={context.name}`"
            )
        change = Change()
        if _submit_missing(managed, count, change) > count:
            _require_single_engines(context)
            managed.wanted = count
            (_take_away if waits else release)(managed, count, change)
        managed.wanted = count
        return change


def stop(context: ContextSettings, now: bool = False) -> Change:
    """Let all engines leave and end the controller, which they need no more; or kill them `now`."""
    with locked(context) as managed:
        change = Change(controller=managed.controller.pid)
        if not now:
            managed.require_same_launcher()
        status = managed.read_status(
            None if now else lambda engines, status: _dismiss(engines, status, change)
        )
        if status.problems and not now:
            raise ServiceError("; ".join(status.problems))
        managed.wanted = None
        pending = [each for each in status.engines if each.condition is EngineCondition.PENDING]
        _cancel(managed, pending, change)
        if change.leaving:
            _wait_for_departure(managed, change)
        managed.controller.stop()
        ended = [
            each.slot
            for each in status.engines
            if each.slot is not None
            and each not in pending
            # Those that no controller has and that have no job would wait for one.
            and (now or (each.condition in WITHOUT_CONTROLLER and not status.job_problem))
        ]
        managed.launcher.kill(ended)
        change.killed = [slot.id for slot in ended]
        return change


def _dismiss(engines: EngineList, status: ContextStatus, change: Change) -> None:
    """Let all engines leave that the controller has."""
    there = [each for each in status.engines if each.id in engines.ids]
    change.leaving += [each.id for each in there if each.id]
    change.busy += [each.id for each in there if each.id and each.job]
    engines.let_leave(change.leaving)


def _wait_for_departure(managed: ManagedContext, change: Change) -> None:
    """Wait until engines have heard that they leave: they are then in no list of the controller."""
    until = time.monotonic() + LOOK_INTERVAL * 20
    while time.monotonic() < until:
        with managed.controller.connect() as engines:
            if not engines.ids & set(change.leaving):
                return
        time.sleep(LOOK_INTERVAL)


def _submit_missing(managed: ManagedContext, count: int, change: Change) -> int:
    """Ask for engines as far as they are missing; return how many there were before."""
    status = managed.read_status()
    if status.problems:
        raise ServiceError("; ".join(status.problems))
    present, change.silent = len(status.useful), [*status.silent.values()]
    if present < count:
        if managed.settings.launcher == "mpi" and present:
            _require_single_engines(managed.settings)
        change.submitted = submit(managed, count - present, status)
    return present


def submit(managed: ManagedContext, count: int, status: ContextStatus) -> list[str]:
    """Ask for engines besides those there were; what is refused leaves none of them behind."""
    launcher, before = managed.launcher, {each.slot.id for each in status.engines if each.slot}
    try:
        return launcher.submit(count)
    except ServiceError:
        # Of a host that has not answered it is not known what it had.
        new = [slot for slot in launcher.list_slots().slots if slot.id not in before]
        launcher.kill([slot for slot in new if slot.host not in status.silent])
        raise


def _require_single_engines(context: ContextSettings) -> None:
    if context.launcher == "mpi":
        raise UsageError(
            f"The engines of {context.name} are one MPI world, which keeps its size: stop it, and "
            "start it with another number."
        )


def _take_away(managed: ManagedContext, count: int, change: Change) -> None:
    """Let engines go until there are so many; those that have just begun are waited for."""
    until = time.monotonic() + STARTING
    while len(left := release(managed, count, change)) > count:
        if time.monotonic() > until:
            # They have not registered, so they have no job.
            managed.launcher.kill([each.slot for each in left if each.slot][count - len(left) :])
            return
        time.sleep(LOOK_INTERVAL)


def release(managed: ManagedContext, count: int, change: Change) -> list[ContextEngine]:
    """Let engines go that have begun or wait, until there are so many; return who is left.

    Raises ServiceError when it is not known which there are.
    """
    status = managed.read_status(lambda engines, status: _let_leave(engines, status, count, change))
    if status.problems:
        raise ServiceError("; ".join(status.problems))
    chosen = choose(status.useful, count)
    _cancel(managed, [each for each in chosen if each.slot and not each.id], change)
    return [each for each in status.useful if each not in chosen]


def choose(engines: list[ContextEngine], count: int) -> list[ContextEngine]:
    """Return which engines go, so that `count` are left; one that is starting does not."""
    able = sorted(
        (each for each in engines if each.condition in ORDER),
        # Those that take no job are as good as pending.
        key=lambda each: (
            0 if each.refusal or (each.is_drained and not each.job) else ORDER.index(each.condition)
        ),
    )
    return able[: max(0, len(engines) - count)]


def _let_leave(engines: EngineList, status: ContextStatus, count: int, change: Change) -> None:
    chosen = [each for each in choose(status.useful, count) if each.id is not None]
    change.leaving += [each.id for each in chosen if each.id]
    change.busy += [each.id for each in chosen if each.id and each.job]
    engines.let_leave([each.id for each in chosen if each.id])


def _cancel(managed: ManagedContext, engines: list[ContextEngine], change: Change) -> None:
    slots = [each.slot for each in engines if each.slot is not None]
    managed.launcher.cancel(slots)
    change.cancelled += [slot.id for slot in slots]
