"""The Python API: send a function to a cluster, which gives a `Job`; keep jobs in a `Group`."""

import inspect
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, overload

from asgiref.sync import sync_to_async

from moi_django import owners
from moi_django.cluster import dispatch, payloads
from moi_django.conf import DEFAULT_CONTEXT, NO_USER, conf
from moi_django.engine import pickling
from moi_django.engine.payloads import Payload
from moi_django.engine.references import ResultOf, find_in, replaced
from moi_django.exceptions import DuplicateJob, GroupNotFound, InvalidJob
from moi_django.jobs import creation
from moi_django.jobs.handles import Group, Handle, Job
from moi_django.jobs.on_commit import create_or_defer
from moi_django.jobs.type_variables import AsksForOne, Async, Func, P, R, Ts, Url
from moi_django.models import Info
from moi_django.options import Options
from moi_django.site_store import get_store

__all__ = ["Group", "Job", "asubmit", "ctx_default", "submit", "submit_as", "submit_nouser"]

# The cluster that is used unless another one is named.
ctx_default = DEFAULT_CONTEXT


# A coroutine function; any other; one whose last argument is offered; any with options, which types
# cannot tell from the keywords of the function.
@overload
def submit(
    context: str, owner: Any, name: str, url: Url, func: Async[P, R], /, *a: P.args, **k: P.kwargs
) -> Job[R]: ...
@overload
def submit(
    context: str, owner: Any, name: str, url: Url, func: Func[P, R], /, *a: P.args, **k: P.kwargs
) -> Job[R]: ...
@overload
def submit(
    context: str, owner: Any, name: str, url: Url, func: AsksForOne[*Ts], /, *a: *Ts
) -> Job[Any]: ...
@overload
def submit(
    context: str, owner: Any, name: str, url: Url, func: Any, /, *a: Any, options: Options, **k: Any
) -> Job[Any]: ...
def submit(  # type: ignore[misc]
    context: str, owner: Any, name: str, url: Url, func: Any, /, *args: Any, **kwargs: Any
) -> Any:
    """Send `func(*args, **kwargs)` to a cluster and return its job.

    `context` names a cluster of MOI["CONTEXTS"]. `owner` is a user, a username, another name, a
    Group or the id of one. The page links a finished job to `url/<id>`; None links it to ours.
    A function that accepts them is also given `status_update` (alias `moi_update_status`),
    `moi_context` and `moi_parent_id`.

    `options=` an `Options` says how often and how long it is run; a keyword of this name with
    any other value is the function's, and is refused when that has none.

    An engine that has nothing to do takes it at once; else it waits for the next one that is free,
    also when there is no cluster now.

    Inside a database transaction the job is created when the transaction commits, and never when it
    is rolled back, unless MOI["ON_COMMIT"] is False. Should Redis be lost before the commit, an
    error is logged and there is no job.

    A function that cannot be pickled gives a job that has failed and says why. Raises InvalidJob,
    UnknownContext, GroupNotFound, StoreUnavailable or NotRunning, and then there is no job.
    """
    return submit_as(
        "", context, owner, name, url, (func, args, kwargs), _take_options(func, kwargs)
    )


def submit_as(
    id: str, context: str, owner: Any, name: str, url: str | None, call: Any, options: Options
) -> Job:
    """Do what `submit` does with (func, args, kwargs); raise ValueError when the id is taken."""
    job, create = prepare_job(id, context, owner, name, url, call, options)
    create_or_defer([job], create)
    return job


def prepare_job(
    id: str,
    context: str,
    owner: Any,
    name: str,
    url: str | None,
    call: Any,
    options: Options,
    task: str | None = None,
) -> tuple[Job, Callable[[], Any]]:
    """Return a job that is not there yet, and what creates it.

    `task` is the path of the task of Django's that it runs.
    """
    func, args, kwargs = call
    conf.context(context)
    if not callable(func):
        raise InvalidJob(f"{func!r} cannot be called: give the function itself, then its arguments")
    group, options = owners.group_of(owner, seen=True), conf.with_caller(options)
    results = find_in([args, kwargs], Handle)
    awaited = [*options.after, *results]
    parents = creation.find_parents(awaited, group)
    how = (context, group, name, url, options, pickling.PYTHON_VERSION, id)
    info = creation.new_job_info(*how, parents.values())
    info = replace(info, task=task, call=conf.describe_calls(func)(args, kwargs))
    create: Callable[[Info], object]
    around, sent = conf.begin_sending(info, func, {})
    try:
        if results:
            args, kwargs = replaced((args, kwargs), Handle, lambda each: ResultOf(each.id))
        pickled = pickling.pickle_call((func, args, kwargs), conf.PAYLOAD_LIMIT)
    except Exception as error:
        info = creation.failed_at_submit(info, error)
        create = get_store().jobs.create
    else:
        payloads.check_length(pickled)
        inputs = {each.id: parents[each.id].id for each in results}
        payload = Payload(pickled, options.without_order(), context, inputs=inputs, around=around)
        uncommitted = {each.id: each for each in awaited if getattr(each, "_awaits_commit", ())}
        create = partial(_enqueue, payload=payload, uncommitted=uncommitted)
    job, is_shared = Job(info), options.on_duplicate == "return"
    return job, sent(partial(_create_for, owner, job, create, is_shared), [info])


@overload
def submit_nouser(func: Async[P, R], /, *a: P.args, **k: P.kwargs) -> Job[R]: ...
@overload
def submit_nouser(func: Func[P, R], /, *a: P.args, **k: P.kwargs) -> Job[R]: ...
@overload
def submit_nouser(func: AsksForOne[*Ts], /, *a: *Ts) -> Job[Any]: ...
@overload
def submit_nouser(func: Any, /, *a: Any, options: Options, **k: Any) -> Job[Any]: ...
def submit_nouser(func: Any, /, *args: Any, **kwargs: Any) -> Any:  # type: ignore[misc]
    """Send `func(*args, **kwargs)` to the default cluster for nobody in particular."""
    return submit(ctx_default, NO_USER, "unnamed", None, func, *args, **kwargs)


@overload
async def asubmit(
    context: str, owner: Any, name: str, url: Url, func: Async[P, R], /, *a: P.args, **k: P.kwargs
) -> Job[R]: ...
@overload
async def asubmit(
    context: str, owner: Any, name: str, url: Url, func: Func[P, R], /, *a: P.args, **k: P.kwargs
) -> Job[R]: ...
@overload
async def asubmit(
    context: str, owner: Any, name: str, url: Url, func: AsksForOne[*Ts], /, *a: *Ts
) -> Job[Any]: ...
@overload
async def asubmit(
    context: str, owner: Any, name: str, url: Url, func: Any, /, *a: Any, options: Options, **k: Any
) -> Job[Any]: ...
async def asubmit(*args: Any, **kwargs: Any) -> Any:  # type: ignore[misc]
    """Do what `submit` does without blocking the event loop."""
    return await sync_to_async(submit)(*args, **kwargs)


def _take_options(func: Callable[..., Any], kwargs: dict[str, Any]) -> Options:
    """Take the options out of the keywords that were given for the function."""
    given = kwargs.get("options", Options())
    if isinstance(given, Options) or not _takes_options(func):
        kwargs.pop("options", None)
        return Options.require(given)
    return Options()


def _takes_options(func: Callable[..., Any]) -> bool:
    """Tell whether a keyword `options` may be the function's own."""
    try:
        inspect.signature(func).bind_partial(options=None)
    except TypeError:
        return False
    except ValueError:
        pass  # one of C that does not tell
    return True


def _enqueue(info: Info, payload: Payload, uncommitted: dict[str, Job]) -> None:
    """Create a job; one that it waits for may have become another at the commit, by its key."""
    ids = {id: job.id for id, job in uncommitted.items()}
    if any(old != new for old, new in ids.items()):
        inputs = {name: ids.get(id, id) for name, id in payload.inputs.items()}
        payload = replace(payload, inputs=inputs)
        info = replace(info, after=tuple(ids.get(id, id) for id in info.after))
    dispatch.enqueue(info, payload)


def _create_for(owner: Any, job: Job, create: Callable[[Info], Any], is_shared: bool) -> Any:
    """Create a job, in the group that its owner has now; it may become one that has its key."""
    try:
        return create(job.info)
    except GroupNotFound:
        group = owners.group_of(owner)
        job.info = replace(job.info, parent=group.id, path=f"{group.path}:{job.id}")
    except DuplicateJob as error:
        if not is_shared:
            raise
        if other := get_store().jobs.get(error.id):
            job.info = other
            return None
    return _create_for(owner, job, create, is_shared)
