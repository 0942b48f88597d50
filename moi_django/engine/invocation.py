"""Call a function on an engine as it would be called anywhere else: with Django, without a loop."""

import asyncio
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from moi_django.engine.current import CurrentJob, current_job
from moi_django.engine.tqdm_progress import follow_tqdm


@contextmanager
def job_environment() -> Iterator[None]:
    """Give the function in the block what it would have elsewhere."""
    follow_tqdm()
    with _hidden_event_loop(), _django_set_up(), _explained_breakpoints():
        yield


@contextmanager
def _explained_breakpoints() -> Iterator[None]:
    """Let `breakpoint()` say how a job is debugged, where it would ask a terminal.

    A debugger that the environment names is left alone. ipykernel puts one of its own there.
    """
    if os.environ.get("PYTHONBREAKPOINT"):
        yield
        return
    hook = sys.breakpointhook
    sys.breakpointhook = _explain_breakpoint
    try:
        yield
    finally:
        sys.breakpointhook = hook


def _explain_breakpoint(*args: Any, **kwargs: Any) -> None:
    job = current_job()
    id = job.id if job else "ID"
    sys.stderr.write(
        "breakpoint() cannot stop a job on an engine: to debug this one, run "
        f"`python manage.py moi run --job-id {id}` in a terminal.\n"
    )


def call_as_job(
    job: CurrentJob, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Call a function with what it accepts of what jobs are offered, and return what it returns."""
    offered = {
        "status_update": job.status_update,
        "moi_update_status": job.status_update,
        "moi_context": job.context,
        "moi_parent_id": job.parent,
        "moi_progress": job.progress,
        "moi_track": job.track,
        "moi_attach": job.attach,
    }
    injected = injectable_kwargs(function, args, kwargs, offered)
    return call_function(function, args, {**injected, **kwargs})


def injectable_kwargs(
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


def call_function(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Call a function, a coroutine function too, and return what it returns."""
    value = function(*args, **kwargs)
    return asyncio.run(value) if inspect.iscoroutine(value) else value


@contextmanager
def _hidden_event_loop() -> Iterator[None]:
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
def _django_set_up() -> Iterator[None]:
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


_OWN_PATHS = (str(Path(__file__).parents[1]), str(Path(asyncio.__file__).parent))


def format_error(error: BaseException) -> str:
    """Return a traceback that starts at the first frame which is not ours.

    Of an error that is raised in ours, such as a command that failed, the last frame stays.
    """
    report = traceback.TracebackException.from_exception(error)
    frames = list(report.stack)
    while len(frames) > 1 and _is_own_frame(frames[0].filename):
        frames.pop(0)
    report.stack = traceback.StackSummary.from_list(frames)
    return "".join(report.format()).rstrip("\n")


def _is_own_frame(filename: str) -> bool:
    return filename.startswith(_OWN_PATHS) or filename.endswith("cloudpickle.py")
