"""Call the function of a job with what it accepts, and tell what went wrong in it."""

import asyncio
import inspect
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType, MethodType
from typing import Any

from moi_django.engine.current import CurrentJob, current_job
from moi_django.engine.encoding import ResultTooLarge
from moi_django.validation import escape_surrogates

# What most names begin with that jobs are offered.
_PREFIX = "moi_"
_WRITTEN_IN_C = (type(len), type(str.join), type("".__str__), type(object.__init__))


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
    """Call a function, a coroutine function too, with what it accepts of what jobs are offered."""
    injected = injectable_kwargs(function, args, kwargs, job.keywords)
    value = function(*args, **{**injected, **kwargs})
    return job.run_coroutine(value) if inspect.iscoroutine(value) else value


def injectable_kwargs(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    provided: dict[str, Any],
) -> dict[str, Any]:
    """Return what of `provided` the function asks for and its caller has not given.

    It asks for what its signature names. One that takes `**kwargs` also asks for what its own code
    names, as in `kwargs["status_update"]`, or what a function asks for that it wraps: most that
    take `**kwargs` pass them on to somebody who does not expect ours.
    """
    wanted = _wanted_names(function, provided)
    if not wanted:
        return {}
    try:
        given = inspect.signature(function).bind_partial(*args, **kwargs).arguments
    except (TypeError, ValueError):
        return {}  # a call that will fail by itself
    return {name: provided[name] for name in provided if name in wanted and name not in given}


def _wanted_names(function: Any, names: Iterable[str]) -> set[str]:
    """Return which of these keyword arguments a callable asks for."""
    if isinstance(function, partial):
        return _wanted_names(function.func, names) - function.keywords.keys()
    if (called := _called_by(function)) is not function:
        return _wanted_names(called, names)
    if not isinstance(function, FunctionType):
        return _named_in_signature(function, names)
    code = function.__code__
    first, last = code.co_posonlyargcount, code.co_argcount + code.co_kwonlyargcount
    wanted = set(names) & set(code.co_varnames[first:last])
    if code.co_flags & inspect.CO_VARKEYWORDS:
        texts = set(_texts_in(code))
        wanted |= {
            each for each in names if each in texts or (_PREFIX in texts and _PREFIX in each)
        }
        if (wrapped := getattr(function, "__wrapped__", None)) is not None:
            wanted |= _wanted_names(wrapped, names)
    return wanted


def _called_by(function: Any) -> Any:
    """Return the function that is called when a callable is; itself if there is none."""
    if isinstance(function, MethodType):
        return function.__func__
    if isinstance(function, type):
        return function.__init__  # type: ignore[misc]
    wrapped, call = getattr(function, "__wrapped__", None), type(function).__call__
    if isinstance(wrapped, FunctionType) and not isinstance(function, FunctionType):
        return wrapped  # as of `@job`
    return call if isinstance(call, FunctionType) else function


def _named_in_signature(function: Any, names: Iterable[str]) -> set[str]:
    if isinstance(function, _WRITTEN_IN_C):
        return set()  # to read their signatures costs more than to fork a process
    try:
        return set(names) & inspect.signature(function).parameters.keys()
    except (TypeError, ValueError):
        return set()  # one of C that does not tell


def _texts_in(code: CodeType) -> Iterator[str]:
    """Yield the texts that a function names, and the functions in it."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _texts_in(constant)
        elif isinstance(constant, str):
            yield constant


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
