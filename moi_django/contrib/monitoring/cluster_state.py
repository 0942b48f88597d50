"""Contexts and engines as they are now: what controllers, engines and Redis say, put together."""

import time
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from moi_django.cluster import connections
from moi_django.conf import conf
from moi_django.contrib.monitoring.statistics import Statistics
from moi_django.contrib.reloading.site_code import read_code
from moi_django.models import Info, State
from moi_django.site_store import get_store
from moi_django.store import policy
from moi_django.store.engines import EngineMetrics, EngineReport

# Seconds for which the answer of a controller is believed, and for which its silence is.
ANSWER_TTL, SILENCE_TTL = 5.0, 15.0
# Seconds for which an engine is shown that its controller has no more.
GONE_SHOWN = 600.0


class EngineCondition(StrEnum):
    """What an engine is found to do."""

    BUSY = "busy"
    IDLE = "idle"
    # It has a job and does not say that it lives: it was killed, is frozen or cut off.
    SILENT = "silent"
    # Its controller has it no more.
    GONE = "gone"
    # It has no job, and its controller does not answer.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class EngineState:
    """An engine as it is now."""

    id: str
    context: str
    condition: EngineCondition
    # What it has said of itself, if it has had a job for less than a day.
    report: EngineReport | None
    job: Info | None
    # Seconds since it has said something, and for which it has run its job.
    seen: float | None
    busy: float | None
    # Since when it claims nothing, if it is drained.
    drained: str | None = None
    # Since when it is to load code anew, if it has been asked to.
    restart: str | None = None
    # True when it has said that its code is another than that of the site here and now.
    has_other_code: bool = False

    @property
    def metrics(self) -> EngineMetrics:
        """What it has said of itself, which may be nothing."""
        return self.report.metrics if self.report else EngineMetrics(self.id)


@dataclass(frozen=True, slots=True)
class ContextState:
    """A cluster and what waits for it."""

    name: str
    # False when there is no controller, it does not answer, or it has no engine.
    answers: bool
    engines: int
    busy: int
    # Jobs in its queues, and the seconds that the first of them has waited.
    waiting: int
    longest: float | None
    # Since when nothing of it begins, if it is paused.
    paused: str | None = None


@dataclass(frozen=True, slots=True)
class ClusterState:
    """All of it at one time."""

    contexts: list[ContextState]
    engines: list[EngineState]
    # How many jobs of all users are in each state, and how many wait for their next attempt.
    states: dict[str, int]
    paused: int

    @property
    def longest(self) -> float | None:
        """Seconds that the job has waited which waits longest for any engine."""
        waits = [each.longest for each in self.contexts if each.longest is not None]
        return max(waits, default=None)


def get_cluster_state() -> ClusterState:
    """Return how contexts and engines are now.

    Raises StoreUnavailable or NotRunning; a controller that does not answer shows in its context.
    """
    # A controller that has none says no more of an engine than one that is not there.
    known = {name: _controller_cache.engines(name) or None for name in conf.CONTEXTS}
    store = get_store()
    present, reports, jobs = store.connection.server_time(), store.engines.reports(), _running()
    fields, code = store.policy.read(), read_code().digest
    engines = [
        replace(
            _describe_engine(id, known, reports.get(id), jobs.get(id), present),
            drained=fields.get(policy.drained(id)),
            restart=fields.get(policy.restart(id)),
            has_other_code=id in reports and reports[id].metrics.code not in (None, code),
        )
        for id in {*reports, *jobs, *(id for ids in known.values() for id in ids or ())}
    ]
    shown = [each for each in engines if _is_listed(each)]
    return ClusterState(
        contexts=[
            replace(
                _describe_context(name, known[name], shown, present),
                paused=fields.get(policy.paused(name)),
            )
            for name in known
        ],
        engines=sorted(shown, key=_sort_key),
        states=Statistics(store.connection).count_by_state(),
        paused=store.queue.delayed_count(),
    )


def _running() -> dict[str, Info]:
    """Return by engine the job that it runs."""
    infos = get_store().jobs.get_many([attempt.id for attempt in get_store().queue.running()])
    return {
        info.engine: info
        for info in infos
        if info is not None and info.state is State.RUNNING and info.engine
    }


class _ControllerCache:
    """What the controllers have said lately: to ask one costs a round trip, or a timeout."""

    def __init__(self) -> None:
        self._said: dict[tuple[str, str], tuple[float, set[str] | None]] = {}

    def engines(self, name: str) -> set[str] | None:
        """Return the ids of the engines that the controller of a context has; None for silence."""
        key = (name, str(connections.connection_file(name)))
        until, ids = self._said.get(key, (0.0, None))
        if time.monotonic() >= until:
            ids = connections.get_connection(name).engine_ids()
            holds = SILENCE_TTL if ids is None else ANSWER_TTL
            self._said[key] = (time.monotonic() + holds, ids)
        return ids


_controller_cache = _ControllerCache()


def _describe_engine(
    id: str,
    known: dict[str, set[str] | None],
    report: EngineReport | None,
    job: Info | None,
    present: float,
) -> EngineState:
    contexts = [name for name, ids in known.items() if id in (ids or ())]
    said = (job and job.context) or (report and report.metrics.context)
    context = said if said and (said in contexts or not contexts) else (contexts or [""])[0]
    seen = max(0.0, present - report.at) if report else None
    busy = job.ran_seconds(present) if job else None
    is_silent = (busy or 0.0 if seen is None else seen) > conf.LEASE
    return EngineState(
        id=id,
        context=context,
        condition=_judge_engine(bool(contexts), known.get(context), job, is_silent),
        report=report,
        job=job,
        seen=seen,
        busy=busy,
    )


def _judge_engine(
    is_known: bool, ids: set[str] | None, job: Info | None, is_silent: bool
) -> EngineCondition:
    if job is not None and not is_silent:
        return EngineCondition.BUSY
    if not is_known and ids is not None:
        return EngineCondition.GONE
    if job is not None:
        return EngineCondition.SILENT
    return EngineCondition.IDLE if is_known else EngineCondition.UNKNOWN


def _is_listed(engine: EngineState) -> bool:
    if engine.job is not None or engine.condition is EngineCondition.IDLE:
        return True
    return engine.seen is not None and engine.seen < GONE_SHOWN


def _describe_context(
    name: str, ids: set[str] | None, engines: list[EngineState], present: float
) -> ContextState:
    mine = [each.condition for each in engines if each.context == name]
    first = get_store().queue.longest_waiting(name)
    return ContextState(
        name=name,
        answers=ids is not None,
        engines=len(ids or ()),
        busy=mine.count(EngineCondition.BUSY) + mine.count(EngineCondition.SILENT),
        waiting=get_store().queue.waiting_count(name),
        longest=first.waited_seconds(present) if first is not None else None,
    )


def _sort_key(engine: EngineState) -> tuple[Any, ...]:
    """Sort engines so that they keep their place while they work: those that are gone come last."""
    is_gone = engine.condition is EngineCondition.GONE
    return (is_gone, engine.context, engine.metrics.host or "~", engine.metrics.pid, engine.id)
