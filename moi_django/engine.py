"""What runs on an engine: one job from its start to its end, without Django unless it is there.

Whatever the function does, the job gets an end: only the death of this process can prevent it.
"""

import asyncio
import inspect
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import cloudpickle
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

from moi_django.encoding import ResultTooLarge, encode
from moi_django.exceptions import JobNotFound, StoreUnavailable
from moi_django.keeper import Keeper, Reason
from moi_django.models import Info, State, clean, now
from moi_django.options import Options
from moi_django.store import Store

logger = logging.getLogger(__name__)

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
# Seconds for which a job that has come to an engine waits for a Redis that is away.
START_PATIENCE = 30.0
# Variables with keys of the cluster: an engine needs them to start, and no job may show them.
SECRETS = ("IPP_CONNECTION_INFO", "IPP_CURVE_SECRETKEY")


@dataclass(frozen=True, slots=True)
class Home:
    """Where a site keeps its jobs, as its engines reach it."""

    redis_url: str
    prefix: str
    expire: int
    lease: float


@dataclass(frozen=True, slots=True)
class Spec:
    """What an engine has to know to run a job, besides the function and its arguments."""

    id: str
    attempt: int
    home: Home
    context: str
    # When it was sent, by the clock of Redis.
    sent: float
    options: Options
    result_limit: int
    status_limit: int
    # Seconds that an interrupted job has to end, and for which an end is tried to be written.
    grace: float
    patience: float
    # Of the process that pickled the function.
    python: str


def run_job(spec: Spec, payload: bytes) -> None:
    """Run the pickled (function, args, kwargs) and keep in Redis how it goes.

    Does nothing when the job was removed or ended while it was queued, or has been started.
    """
    for name in SECRETS:
        os.environ.pop(name, None)
    store = _store(spec.home)
    _insist(lambda: store.arrive(spec.context, spec.sent), START_PATIENCE)
    with suppress(JobNotFound):  # it was removed, so nobody asks for its end
        info = start(store, spec, engine_id())
        if info is None:
            return
        keeper = _keeper(spec.home)
        with keeper.keeping(info, spec.grace, partial(_end_stubborn, store, spec)) as run:
            is_open = keeper.interruptible(run, spec.options.timeout)
            outcome = _outcome(store, spec, info, payload, is_open)
            if run.reason is Reason.TIMEOUT:
                outcome = _timed_out(spec, outcome["result"])
            end(store, spec, outcome)


def pulse(home: Home, context: str | None, sent: float) -> None:
    """Say that this engine has no job now, and how far the scheduler of a context has come."""
    store = _store(home)
    store.note_idle(engine_id())
    if context is not None:
        store.arrive(context, sent)


@lru_cache(maxsize=8)
def _store(home: Home) -> Store:
    """Return the connection of this process: a fresh one for each job would double its cost."""
    return Store(home.redis_url, home.prefix, home.expire, home.lease)


@lru_cache(maxsize=8)
def _keeper(home: Home) -> Keeper:
    return Keeper(_store(home), engine_id())


def engine_id() -> str:
    """Return the id under which ipyparallel knows this engine."""
    from ipykernel.kernelapp import IPKernelApp

    return str(IPKernelApp.instance().kernel.ident)


def start(store: Store, spec: Spec, engine: str) -> Info | None:
    """Mark the job as running; return None when it is not to be run."""
    begun = now()

    def begin(info: Info) -> Info | None:
        if info.state is not State.QUEUED or info.attempt != spec.attempt:
            return None
        return info.changed(
            state=State.RUNNING, status=State.RUNNING.status, date_start=begun, engine=engine
        )

    info = _insist(lambda: store.change(spec.id, begin), START_PATIENCE)
    mine = (info.state, info.date_start, info.engine) == (State.RUNNING, begun, engine)
    return info if mine else None


def _is_ours(spec: Spec, info: Info) -> bool:
    """Tell whether the run of this spec is the one that the job is in."""
    return info.state is State.RUNNING and info.attempt == spec.attempt


def _outcome(
    store: Store, spec: Spec, info: Info, payload: bytes, is_open: AbstractContextManager[None]
) -> dict[str, Any]:
    """Run the function and return the fields in which its end shows."""
    try:
        with is_open, _outside_of_loop(), _django():
            function, args, kwargs = _load(spec, payload)
            offered = offers(function, args, kwargs, _provided(store, spec, info))
            value = _call(function, args, {**offered, **kwargs})
            result = encode(value, spec.result_limit)
        return {"state": State.SUCCESS, "status": State.SUCCESS.status, "result": result}
    # SystemExit and KeyboardInterrupt end the job, not the engine.
    except BaseException as error:
        return failure(error, spec.result_limit)


def end(store: Store, spec: Spec, outcome: dict[str, Any]) -> None:
    """Write how a run has ended: the end of the job, or that it is to be run again."""
    final = outcome["state"] is State.SUCCESS or spec.attempt >= spec.options.attempts

    def ended(info: Info) -> Info | None:
        if not _is_ours(spec, info):
            return None
        if final:
            return info.changed(date_end=now(), **outcome)
        return again(info, outcome["result"])

    pause = spec.options.pause(spec.attempt)
    # A result that took hours must outlive a restart of Redis.
    _insist(lambda: store.change(spec.id, ended, pause=pause), spec.patience)


def _insist(act: Callable[[], Any], patience: float) -> Any:
    """Do something in Redis, again and again for so many seconds while that is away or full."""
    deadline = time.monotonic() + patience

    def unless_late(error: Exception) -> None:
        if time.monotonic() > deadline:
            raise error

    retry = Retry(ExponentialWithJitterBackoff(cap=2, base=0.1), -1, (StoreUnavailable,))
    return retry.call_with_retry(act, unless_late)


def _timed_out(spec: Spec, trace: object = None) -> dict[str, Any]:
    """Return the fields of a job that took too long; `trace` says where it was."""
    reason = f"TimeoutError: the job took longer than its {spec.options.timeout:g} s."
    interrupted = isinstance(trace, str) and trace.endswith("KeyboardInterrupt")
    return failure(f"{trace}\n\n{reason}" if interrupted else reason, spec.result_limit)


def _end_stubborn(store: Store, spec: Spec, reason: Reason) -> None:
    """Write the end of a job whose engine is about to be killed because it would not stop."""
    if reason is Reason.TIMEOUT:
        end(store, spec, _timed_out(spec))


def again(info: Info, result: str) -> Info:
    """Return a job that is queued for its next run; `result` says why the last one failed."""
    return info.changed(
        state=State.QUEUED,
        status=State.QUEUED.status,
        result=result,
        attempt=info.attempt + 1,
        date_start=None,
        engine=None,
        progress=None,
        done=None,
        total=None,
    )


def failure(error: BaseException | str, limit: int) -> dict[str, Any]:
    """Return the fields of a job that ended with an error: its traceback is the result."""
    text = f"{error}" if isinstance(error, (str, ResultTooLarge)) else format_error(error)
    # The end of a traceback says what happened; each character may take 12 bytes of JSON.
    return {
        "state": State.FAILED,
        "status": State.FAILED.status,
        "result": clean(text)[-max(limit // 12, 200) :],
    }


def _load(spec: Spec, payload: bytes) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
    """Unpickle the function and its arguments."""
    if spec.python != PYTHON:
        raise RuntimeError(
            f"The job was submitted by Python {spec.python} and this engine runs Python {PYTHON}: "
            "start engines with the Python of the site."
        )
    try:
        return cloudpickle.loads(payload)
    except Exception as error:
        error.add_note(
            "The engine could not load the function or its arguments. Are their modules "
            "importable on the engine, in the versions that the site has?"
        )
        raise


def _provided(store: Store, spec: Spec, info: Info) -> dict[str, Any]:
    """Return the keyword arguments that every function may ask for."""

    def status_update(status: str) -> str:
        """Show a status text to everyone who watches; return the one before."""
        before = ""

        def update(info: Info) -> Info | None:
            nonlocal before
            before = info.status
            if not _is_ours(spec, info):
                return None
            return info.changed(status=clean(str(status))[: spec.status_limit])

        try:
            store.change(spec.id, update)
        except StoreUnavailable as error:
            # The work is worth more than what it says of itself.
            logger.warning("Cannot show %r: %s", status, error)
        return before

    return {
        "status_update": status_update,
        "moi_update_status": status_update,
        "moi_context": info.context,
        "moi_parent_id": info.parent,
    }


def offers(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    provided: dict[str, Any],
) -> dict[str, Any]:
    """Return what of `provided` the function accepts and its caller has not given."""
    try:
        signature = inspect.signature(function)
        given = signature.bind_partial(*args, **kwargs).arguments
    except (TypeError, ValueError):
        return {}  # a builtin without a signature, or a call that will fail by itself
    parameters = signature.parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return {name: value for name, value in provided.items() if name not in given}
    by_name = {
        parameter.name
        for parameter in parameters
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    return {
        name: value for name, value in provided.items() if name in by_name and name not in given
    }


def _call(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    value = function(*args, **kwargs)
    return asyncio.run(value) if inspect.iscoroutine(value) else value


@contextmanager
def _outside_of_loop() -> Iterator[None]:
    """Hide the event loop in which ipykernel runs a job.

    While it shows, `asyncio.run` and the Django ORM refuse to work.
    """
    loop = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    try:
        yield
    finally:
        asyncio._set_running_loop(loop)


@contextmanager
def _django() -> Iterator[None]:
    """Give the job the site's Django with fresh database connections, where it is configured."""
    if not os.environ.get("DJANGO_SETTINGS_MODULE"):
        yield
        return
    import django
    from django.apps import apps
    from django.db import close_old_connections, reset_queries

    if not apps.ready:
        django.setup()
    reset_queries()
    close_old_connections()
    try:
        yield
    finally:
        close_old_connections()


_OWN = (str(Path(__file__).parent), str(Path(asyncio.__file__).parent))


def format_error(error: BaseException) -> str:
    """Return a traceback that starts at the first frame which is not ours.

    Of an error that is raised in ours, such as a command that failed, the last frame stays.
    """
    report = traceback.TracebackException.from_exception(error)
    frames = list(report.stack)
    while len(frames) > 1 and _is_own(frames[0].filename):
        frames.pop(0)
    report.stack = traceback.StackSummary.from_list(frames)
    return "".join(report.format()).rstrip("\n")


def _is_own(filename: str) -> bool:
    return filename.startswith(_OWN) or filename.endswith("cloudpickle.py")
