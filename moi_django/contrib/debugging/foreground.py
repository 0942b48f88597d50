"""Run the function of a job here, for its developer: with a terminal, and no trace in Redis."""

from collections.abc import Callable
from dataclasses import replace
from os import PathLike
from typing import Any

from moi_django.cluster.payloads import verify_payload
from moi_django.contrib.caller.takeover import as_caller
from moi_django.engine.current import CurrentJob, enter_job
from moi_django.engine.invocation import call_as_job
from moi_django.engine.pickling import PYTHON_VERSION, unpickle_call
from moi_django.exceptions import PayloadRefused
from moi_django.models import Info
from moi_django.site_store import get_store


def run_in_foreground(info: Info, say: Callable[[str], object]) -> Any:
    """Run the function of a job in this process and return what it returns.

    `say` takes a line for each status text and each file; neither is kept. Raises PayloadRefused
    when the function is not kept, was not signed by this site or is of another Python, and whatever
    the function raises.
    """
    if info.retried:
        raise PayloadRefused(
            f"Job {info.id} was retried, as {info.retried}, which has its function now: run that."
        )
    payload = verify_payload(info, get_store().jobs.payload(info.id))
    if payload.python != PYTHON_VERSION:
        raise PayloadRefused(
            f"Job {info.id} was submitted by Python {payload.python}, and this is Python "
            f"{PYTHON_VERSION}: run it with that one."
        )
    function, args, kwargs = unpickle_call(
        payload.call, get_store().dependencies.inputs(payload.inputs)
    )
    job = replace(_speaking_job(info, say), **payload.options.caller)
    with enter_job(job), as_caller(job):
        return call_as_job(job, function, args, kwargs)


def _speaking_job(info: Info, say: Callable[[str], object]) -> CurrentJob:
    """Return a job that says what one on an engine would write."""
    statuses = [info.status]

    def update_status(status: str) -> str:
        statuses.append(str(status))
        say(f"status: {statuses[-1]}")
        return statuses[-2]

    def attach(name: str, content: "bytes | str | PathLike[str]") -> None:
        say(f"file: {name} (not kept)")

    return CurrentJob(
        id=info.id,
        name=info.name,
        attempt=info.attempt,
        context=info.context,
        parent=info.parent,
        status_update=update_status,
        _note_progress=lambda update: None,
        _attach=attach,
    )
