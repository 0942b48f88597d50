"""Call the function of a job with what it accepts, and tell what went wrong in it."""

import asyncio
import inspect
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from types import BuiltinFunctionType, FunctionType
from typing import Any

from moi_django.engine.current import CurrentJob, current_job
from moi_django.engine.encoding import ResultTooLarge
from moi_django.validation import escape_surrogates


def explain_breakpoint(*args: Any, **kwargs: Any) -> None:
    """Say how a job is debugged, in the place of a debugger that would have no terminal."""
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
    if not _may_accept(function, provided):
        return {}
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


def _may_accept(function: Callable[..., Any], names: Iterable[str]) -> bool:
    """Tell by a short look whether a function may accept one of these arguments."""
    if isinstance(function, BuiltinFunctionType):
        return False
    if not isinstance(function, FunctionType) or hasattr(function, "__wrapped__"):
        return True
    code = function.__code__
    parameters = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return bool(code.co_flags & inspect.CO_VARKEYWORDS) or not set(parameters).isdisjoint(names)


def call_function(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Call a function, a coroutine function too, and return what it returns."""
    value = function(*args, **kwargs)
    return asyncio.run(value) if inspect.iscoroutine(value) else value


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


def failure_text(error: BaseException | str, limit: int) -> str:
    """Return the result of a job that ended with an error: its traceback."""
    text = f"{error}" if isinstance(error, (str, ResultTooLarge)) else format_error(error)
    # The end of a traceback says what happened; each character may take 12 bytes of JSON.
    return escape_surrogates(text)[-max(limit // 12, 200) :]
