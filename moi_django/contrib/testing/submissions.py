"""What was submitted in a test: by the store, and by the payloads that were signed for it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from inspect import getclosurevars
from typing import Any

from django.db import connections
from django.utils.module_loading import import_string

from moi_django import owners
from moi_django.cluster import payloads
from moi_django.conf import conf
from moi_django.contrib.monitoring.job_index import JobIndex
from moi_django.contrib.testing import immediate
from moi_django.engine.payloads import Payload
from moi_django.engine.pickling import unpickle_call
from moi_django.exceptions import InvalidJob
from moi_django.jobs import on_commit
from moi_django.jobs.api import Group, Job
from moi_django.models import Info, error_line_of
from moi_django.options import Options
from moi_django.site_store import get_store

# Stands for what is not asked for.
ANY: Any = type("Anything", (), {"__repr__": lambda self: "ANY"})()
# By id: what each job of this process is to do.
_signed: dict[str, Payload] = {}


def observe() -> None:
    """Note what jobs are to do from now on: the store forgets it of those that have succeeded."""
    if _note not in payloads.observers:
        payloads.observers.append(_note)


def clear() -> None:
    """Forget what was noted."""
    _signed.clear()


def _note(info: Info, payload: Payload) -> None:
    if conf.is_isolated:
        _signed[info.id] = payload


@dataclass(frozen=True)
class SubmittedJob:
    """A job that was submitted in a test, as it is now."""

    info: Info
    # None for one that could not be sent, or was submitted on an engine.
    func: Any = None
    # As they reach an engine; a job stands for its result.
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] | None = None
    options: Options | None = None

    @property
    def job(self) -> Job:
        """The job as the Python API has it."""
        return Job(self.info)

    @property
    def name(self) -> str:
        """What people call it."""
        return self.info.name

    @property
    def context(self) -> str | None:
        """Name of the cluster."""
        return self.info.context

    @property
    def owner(self) -> str:
        """Name of the owner."""
        root = get_store().jobs.get(self.info.owner)
        return root.name if root else ""

    def __str__(self) -> str:
        given = [*map(repr, self.args), *(f"{k}={v!r}" for k, v in (self.kwargs or {}).items())]
        call = f"{path_of(self.func) or '(unknown)'}({', '.join(given)})"
        text = f"{call[:300]} of {self.owner!r}, as {self.name!r}: {self.info.state}"
        error = self.info.result if self.info.has_failed else None
        return f"{text}: {error_line_of(error)}" if isinstance(error, str) and error else text


def submitted(func: Any = ANY, *, owner: Any = ANY, **wanted: Any) -> list[SubmittedJob]:
    """Return the jobs submitted in this test, the oldest first, and only those that are asked for.

    `func` is a function, a task, or the dotted path of one; `owner` as in `submit`. Other keywords
    are `args`, `kwargs`, `name`, `context`, `options` and `state`. What was removed is not there.
    """
    if not conf.is_isolated:
        raise InvalidJob("Nothing is noted: this is no test, or MOI['TEST_ISOLATION'] is False.")
    immediate.tell_events()
    store = get_store()
    infos, _ = JobIndex(store.connection, store.jobs).newest(store.keys.jobs, None, 1_000_000)
    found = [_submitted_job(info) for info in reversed(infos)]
    if owner is not ANY:
        group = owners.group_of(owner)
        found = [each for each in found if group.id in each.info.ancestors]
    if func is not ANY:
        found = [each for each in found if is_same(each.func, func)]
    for name, value in wanted.items():
        found = [each for each in found if _has(each, name, value)]
    return found


def assert_submitted(
    func: Any = ANY, *, times: int | None = None, **wanted: Any
) -> list[SubmittedJob]:
    """Fail unless such a job was submitted in this test, or so many were; return them.

    The rest is as in `submitted`.
    """
    found = submitted(func, **wanted)
    if (len(found) == times) if times is not None else found:
        return found
    asked = "a job" if func is ANY else func if isinstance(func, str) else path_of(func)
    details = "".join(f", {name}={value!r}" for name, value in wanted.items())
    expected = "at least once" if times is None else _times(times)
    raise AssertionError(
        "\n".join(
            [
                f"{asked}{details} was to be submitted {expected}, and was {_times(len(found))}.",
                *_describe(submitted()),
                *_describe_uncommitted(),
            ]
        )
    )


def _describe(jobs: Sequence[SubmittedJob]) -> list[str]:
    if not jobs:
        return ["Nothing was submitted in this test."]
    return ["Submitted in this test:", *(f"  {each}" for each in jobs)]


def _describe_uncommitted() -> list[str]:
    """Return what to do when jobs wait for the commit of the test's transaction."""
    waiting = [
        callback
        for connection in connections.all(initialized_only=True)
        for _, callback, *_ in connection.run_on_commit
        if getattr(callback, "__module__", None) == on_commit.__name__
    ]
    # Those that were captured stay there, too.
    count = sum(bool(getclosurevars(each).nonlocals["pending"]) for each in waiting)
    if not count:
        return []
    return [
        f"{count} more would be created when the transaction of this test commits, which it never "
        "does: submit in `with self.captureOnCommitCallbacks(execute=True):`, or with the fixture "
        "django_capture_on_commit_callbacks(execute=True)."
    ]


def _times(number: int) -> str:
    return {0: "not", 1: "once"}.get(number, f"{number} times")


def _has(job: SubmittedJob, name: str, value: Any) -> bool:
    if name not in ("args", "kwargs", "name", "context", "options", "state"):
        raise TypeError(f"submitted() takes no {name!r}.")
    found = job.info.state if name == "state" else getattr(job, name)
    if isinstance(value, Options) and isinstance(found, Options):
        # What was taken over from who submitted it is not asked for.
        unsaid: dict[str, Any] = {key: None for key, said in value.caller.items() if said is None}
        found = replace(found, **unsaid)
    return bool(found == value)


def _submitted_job(info: Info) -> SubmittedJob:
    payload = _signed.get(info.id)
    if payload is None:
        return SubmittedJob(info)
    options = replace(payload.options, after=info.after, run_after=_to_time(info.run_after))
    handles = {id: _handle(id) for id in payload.inputs}
    func, args, kwargs = unpickle_call(payload.call, handles)
    if info.task:
        # The task is a part of what is sent, by its path.
        call, func = args[0], import_string(info.task).func
        args, kwargs = tuple(call["args"]), call["kwargs"]
    return SubmittedJob(info, func, args, kwargs, options)


def _handle(id: str) -> Any:
    info = get_store().jobs.get(id)
    return id if info is None else Group(info) if info.is_group else Job(info)


def _to_time(date: str | None) -> datetime | None:
    return date and datetime.fromisoformat(date).replace(tzinfo=UTC)  # type: ignore[return-value]


def is_same(func: Any, other: Any) -> bool:
    """Tell whether two functions are the same, one of which has been pickled."""
    if isinstance(other, str):
        return path_of(func) == other
    return func == other or (func is not None and path_of(func) == path_of(other))


def path_of(func: Any) -> str:
    """Return the dotted path of a function, of what it is decorated with, or of a task."""
    while isinstance(func, partial):
        func = func.func
    func = getattr(func, "func", func)
    func = getattr(func, "__wrapped__", func)
    name = getattr(func, "__qualname__", None)
    return "" if func is None else f"{func.__module__}.{name}" if name else repr(func)
