"""Start what is due: one job a tick, however many reconcilers look and whichever of them dies.

The id of a tick's job follows from the tick, so that another one who creates it finds that it is
there. The job is created first; then the tick is noted as dealt with.
"""

import json
import logging
import uuid
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from django.db import close_old_connections

from moi_django.conf import conf
from moi_django.contrib.schedules import registry
from moi_django.contrib.schedules.registry import SKIP, Schedule
from moi_django.contrib.schedules.store import ScheduleState, ScheduleStates
from moi_django.exceptions import MoiError, StoreUnavailable
from moi_django.jobs.api import Job, submit_as
from moi_django.site_store import get_store

logger = logging.getLogger(__name__)

# Seconds after which a tick counts as missed.
GRACE = 60.0
# Seconds that the last tick may lie ahead before the clock is believed to have been wrong then.
MAX_AHEAD = 3600.0
# Of the ids that follow from a tick.
NAMESPACE = uuid.UUID("0d3f3c0e-52ce-4d0c-9c2a-6f6ac6bb6f0b")


def server_time() -> float:
    """Return the time by the clock of Redis."""
    return get_store().connection.server_time()


def get_states() -> ScheduleStates:
    """Return how far the schedules of this site have come."""
    return ScheduleStates(get_store().connection)


class ScheduleRunner:
    """Runs the schedules of one site; `say` takes a line for each thing it does."""

    def __init__(
        self,
        say: Callable[[str], object] = logger.info,
        clock: Callable[[], float] = server_time,
    ) -> None:
        self._say, self._clock = say, clock
        self._has_discovered = False
        # What was last said of those that cannot run.
        self._told: dict[str, str] = {}

    def run_due(self) -> None:
        """Start what is due now. Raises StoreUnavailable or NotRunning.

        One that cannot be started does not keep the others from it, and is tried again.
        """
        self._discover()
        names = registry.names()
        if not names:
            return
        states, now = get_states().read_all(), self._clock()
        for name in names:
            try:
                self._look_at(registry.find(name), states.get(name), now)
            except StoreUnavailable:
                raise
            except Exception as error:
                self._complain(name, error)
            else:
                self._told.pop(name, None)

    def _discover(self) -> None:
        """Import the functions once; those that were found run, also when others cannot be."""
        if self._has_discovered:
            return
        self._has_discovered = True
        try:
            registry.discover()
        except Exception:
            logger.exception("Cannot import all scheduled functions")
            self._say("some scheduled functions cannot be imported: see the log")

    def _complain(self, name: str, error: Exception) -> None:
        text = f"the schedule {name!r} does not run: {error}"
        if self._told.get(name) != text:
            self._told[name] = text
            self._say(text)
            if not isinstance(error, MoiError):
                logger.error("%s", text, exc_info=error)

    def _look_at(self, schedule: Schedule, state: ScheduleState | None, now: float) -> None:
        """Start the job of the latest tick that is due."""
        if state is None or _begins(state, schedule, now) is not None:
            state, _ = get_states().update(
                schedule.name, partial(_begins, schedule=schedule, now=now)
            )
        if state is None or state.paused:
            return
        tick = schedule.line.latest(state.last, now)
        if tick is None:
            return
        if schedule.missed == SKIP and now - tick > GRACE:
            self._say(f"the schedule {schedule.name!r} leaves out what it has missed")
        elif not schedule.overlap and (unfinished := _unfinished(state, schedule, tick)):
            self._say(
                f"the schedule {schedule.name!r} leaves out a run: job {unfinished} is not finished"
            )
        elif _start(schedule, tick):
            self._say(f"the schedule {schedule.name!r} runs job {tick_id(schedule.name, tick)}")
        get_states().update(schedule.name, partial(_dealt_with, tick=tick))


def _begins(state: ScheduleState | None, schedule: Schedule, now: float) -> ScheduleState | None:
    """Return the state of a schedule that is new, or has another line; None for any other one.

    What another line would have done in the past is not made up for.
    """
    line = str(schedule.line)
    if state is None:
        return ScheduleState(now, line)
    if state.last > now + MAX_AHEAD:
        return replace(state, last=now, line=line)
    # While a site is upgraded, reconcilers of both versions may look by turns: no tick gets lost.
    since = max(state.last, now - GRACE)
    return None if state.line == line else replace(state, last=since, line=line)


def _dealt_with(state: ScheduleState | None, tick: float) -> ScheduleState | None:
    return None if state is None or state.last >= tick else replace(state, last=tick)


def tick_id(name: str, tick: float) -> str:
    """Return the id of the job of a tick."""
    return str(uuid.uuid5(NAMESPACE, json.dumps([conf.KEY_PREFIX, name, int(tick)])))


def _unfinished(state: ScheduleState, schedule: Schedule, tick: float) -> str | None:
    """Return the id of an unfinished job of a schedule but for that of a tick."""
    ids = [id for id in state.jobs if id != tick_id(schedule.name, tick)]
    infos = get_store().jobs.get_many(ids)
    return next((info.id for info in infos if info is not None and not info.finished), None)


def _start(schedule: Schedule, tick: float) -> bool:
    """Create the job of a tick; tell whether it was this call that did."""
    id, create = tick_id(schedule.name, tick), prepare_job(schedule)

    def noted(state: ScheduleState | None) -> ScheduleState | None:
        if state is None or state.last >= tick or state.paused:
            return None
        return replace(state, jobs=state.with_job(id))

    # Before it is created: so the next one knows of it, also if this process dies then.
    _, is_noted = get_states().update(schedule.name, noted)
    if not is_noted or get_store().jobs.get(id) is not None:
        return False
    try:
        create(id)
    except ValueError:
        if get_store().jobs.get(id) is None:
            raise
        return False  # another one came first
    return True


def prepare_job(schedule: Schedule) -> Callable[[str], Job]:
    """Return what creates a job of a schedule with an id. Raises InvalidJob.

    That raises as `submit` does, and ValueError when the id is taken.
    """
    schedule.require_owner()
    schedule.require_sense()
    call = (schedule.load_function(), tuple(schedule.args), dict(schedule.kwargs))
    how = schedule.load_options()

    def create(id: str) -> Job:
        close_old_connections()  # the database may have been away since the last tick
        try:
            return submit_as(id, schedule.context, schedule.owner, schedule.name, None, call, how)
        finally:
            close_old_connections()

    return create


def run_now(schedule: Schedule) -> Job:
    """Run one at once, besides what the clock says."""
    create, id, now = prepare_job(schedule), str(uuid.uuid4()), server_time()
    get_states().update(schedule.name, partial(_begins, schedule=schedule, now=now))

    def noted(state: ScheduleState | None) -> ScheduleState | None:
        return state and replace(state, jobs=state.with_job(id))

    get_states().update(schedule.name, noted)
    return create(id)


def set_paused(schedule: Schedule, paused: bool) -> bool:
    """Let one pause, or go on with the next tick; tell whether that is a change."""
    now = server_time()

    def change(state: ScheduleState | None) -> ScheduleState | None:
        state = state or ScheduleState(now, str(schedule.line))
        return None if state.paused is paused else replace(state, paused=paused, last=now)

    _, is_changed = get_states().update(schedule.name, change)
    return is_changed
