"""What runs on an engine: one job from its start to its end, without Django unless it is there.

Whatever the function does, the job gets an end: only the death of this process can prevent it.
"""

import asyncio
import inspect
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cloudpickle
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

from moi_django.encoding import ResultTooLarge, encode
from moi_django.exceptions import JobNotFound, StoreUnavailable
from moi_django.models import Info, State, clean, now
from moi_django.store import Store

logger = logging.getLogger(__name__)

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
# A result that took hours must outlive a restart of Redis: about five minutes of trying.
_PERSISTENT = Retry(ExponentialWithJitterBackoff(cap=5, base=0.1), 75, (StoreUnavailable,))


@dataclass(frozen=True, slots=True)
class Spec:
    """What an engine has to know to run a job, besides the function and its arguments."""

    id: str
    attempt: int
    redis_url: str
    prefix: str
    expire: int
    result_limit: int
    status_limit: int
    # Of the process that pickled the function.
    python: str = PYTHON


def run_job(spec: Spec, payload: bytes) -> None:
    """Run the pickled (function, args, kwargs) and keep in Redis how it goes.

    Does nothing when the job was removed or ended while it was queued, or has been started.
    """
    store = _store(spec.redis_url, spec.prefix, spec.expire)
    try:
        info = _start(store, spec)
        if info is None:
            return
        outcome = _outcome(store, spec, info, payload)
        _PERSISTENT.call_with_retry(
            lambda: store.change(spec.id, lambda info: info.changed(date_end=now(), **outcome)),
            lambda error: None,
        )
    except JobNotFound:
        return  # it was removed, so nobody asks for its end


@lru_cache(maxsize=8)
def _store(url: str, prefix: str, expire: int) -> Store:
    """Return the connection of this process: a fresh one for each job would double its cost."""
    return Store(url, prefix, expire)


def _start(store: Store, spec: Spec) -> Info | None:
    """Mark the job as running; return None when it is not to be run."""
    begun = now()

    def start(info: Info) -> Info | None:
        if info.state is not State.QUEUED or info.attempt != spec.attempt:
            return None
        return info.changed(state=State.RUNNING, status=State.RUNNING.status, date_start=begun)

    info = store.change(spec.id, start)
    return info if info.state is State.RUNNING and info.date_start == begun else None


def _outcome(store: Store, spec: Spec, info: Info, payload: bytes) -> dict[str, Any]:
    """Run the function and return the fields in which its end shows."""
    try:
        with _outside_of_loop(), _django():
            function, args, kwargs = _load(spec, payload)
            offered = offers(function, args, kwargs, _provided(store, spec, info))
            value = _call(function, args, {**offered, **kwargs})
            result = encode(value, spec.result_limit)
        return {"state": State.SUCCESS, "status": State.SUCCESS.status, "result": result}
    # SystemExit and KeyboardInterrupt end the job, not the engine.
    except BaseException as error:
        return failure(error, spec.result_limit)


def failure(error: BaseException, limit: int) -> dict[str, Any]:
    """Return the fields of a job that ended with an error: its traceback is the result."""
    text = f"{error}" if isinstance(error, ResultTooLarge) else format_error(error)
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

        def update(info: Info) -> Info:
            nonlocal before
            before = info.status
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
