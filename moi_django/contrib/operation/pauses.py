"""Let contexts pause and engines be drained, and go on again; tell what still runs."""

from collections.abc import Sequence

from moi_django.cluster import dispatch
from moi_django.conf import conf
from moi_django.contrib.monitoring.cluster_state import (
    EngineCondition,
    EngineState,
    get_cluster_state,
)
from moi_django.exceptions import MoiError, UsageError
from moi_django.models import Info, State
from moi_django.site_store import get_store
from moi_django.store import policy

# How many characters of an engine's id are shown.
SHORT_ID = 8
# The fields that are about an engine.
NOTES = (policy.drained, policy.restart)


def require_context(name: str) -> str:
    """Return the name of a context; raise UsageError, which tells those there are, for another."""
    if name not in conf.CONTEXTS:
        raise UsageError(f"Unknown context: {name}. There are: {', '.join(conf.CONTEXTS)}.")
    return name


def pause(context: str) -> bool:
    """Let no further job of a context begin; tell whether it was not so before."""
    return _start(policy.paused(context))


def resume(context: str) -> bool:
    """Let jobs of a context begin again, and call engines; tell whether it was paused."""
    was_paused = get_store().policy.stop(policy.paused(context))
    _call_workers(context)
    return was_paused


def drain_engine(engine: EngineState) -> bool:
    """Let an engine claim nothing more; tell whether it was not so before."""
    forget_gone_engines()
    return _start(policy.drained(engine.id))


def resume_engine(engine: EngineState) -> bool:
    """Let an engine claim jobs again, and call engines; tell whether it was drained."""
    was_drained = get_store().policy.stop(policy.drained(engine.id))
    for context in [engine.context] if engine.context in conf.CONTEXTS else conf.CONTEXTS:
        _call_workers(context)
    return was_drained


def prefer(info: Info) -> None:
    """Let a waiting job be the next of its queue. Raises MoiError when it does not wait."""
    if info.is_group or not get_store().queue.prefer(info):
        is_early = info.state is State.QUEUED
        reason = "waits for other jobs, or for a later time" if is_early else f"is {info.state}"
        reason = "is a group" if info.is_group else reason
        raise MoiError(f"The job does not wait in a queue: it {reason}.")


def _start(field: str) -> bool:
    """Note that a pause begins or an engine is drained, unless it is so since before."""
    is_new = not get_store().policy.has(field)
    if is_new:
        get_store().policy.start(field)
    return is_new


def _call_workers(context: str) -> None:
    for queue in get_store().queue.names_of(context):
        dispatch.call_workers(queue)


def forget_gone_engines() -> None:
    """Drop notes on engines that no controller has any more, if all controllers answer."""
    found = get_cluster_state()
    if not all(context.answers for context in found.contexts):
        return
    present = [each.id for each in found.engines if each.condition is not EngineCondition.GONE]
    kept = {note(engine) for note in NOTES for engine in present}
    heads = tuple(note("") for note in NOTES)
    noted = [name for name in get_store().policy.read() if name.startswith(heads)]
    get_store().policy.update(dict.fromkeys(name for name in noted if name not in kept))


def running_jobs(contexts: Sequence[str] = (), engine: str | None = None) -> list[Info]:
    """Return the jobs that run, in contexts or on an engine if one is given."""
    attempts = get_store().queue.running()
    return [
        info
        for info in get_store().jobs.get_many([attempt.id for attempt in attempts])
        if info is not None
        and info.state is State.RUNNING
        and (not contexts or info.context in contexts)
        and engine in (None, info.engine)
    ]


def engine_label(engine: EngineState) -> str:
    """Return what people call an engine, as `moi top` and the panel do, with its id."""
    metrics, id = engine.metrics, engine.id[:SHORT_ID]
    return f"{metrics.host}:{metrics.pid} ({id})" if metrics.host else id


def find_engine(name: str) -> EngineState:
    """Return an engine by its id, the beginning of that, or HOST:PID.

    Raises UsageError, which tells the engines there are, unless it is one.
    """
    engines = get_cluster_state().engines
    fitting = [
        each
        for each in engines
        if each.id.startswith(name) or f"{each.metrics.host}:{each.metrics.pid}" == name
    ]
    exact = [each for each in fitting if each.id == name]
    if len(found := exact or fitting) == 1 and name:
        return found[0]
    problem = f"More than one engine is meant by {name!r}" if found else f"Unknown engine: {name}"
    known = ", ".join(map(engine_label, fitting or engines)) or "none"
    raise UsageError(f"{problem}. There are: {known}.")
