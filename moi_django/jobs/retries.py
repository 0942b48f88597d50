"""Look which jobs can be run again, and as what; nothing is written."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from moi_django import owners
from moi_django.cluster import payloads
from moi_django.conf import conf
from moi_django.engine.payloads import Payload
from moi_django.exceptions import GroupNotFound, InvalidJob, MoiError, PayloadRefused
from moi_django.jobs import creation
from moi_django.models import SKIP, Info, State, about
from moi_django.site_store import get_store

logger = logging.getLogger(__name__)

# The job, the one that is to run instead, and what that is to do.
Retry = tuple[Info, Info, Payload]


def prepare_retry(
    old: Info, signed: bytes | None, instead: Mapping[str, str] = MappingProxyType({})
) -> tuple[Info, Payload]:
    """Return the job that is to run instead of one, and what it is to do.

    `signed` is what is kept of the function; `instead` has the ids of other jobs and of those that
    are to run instead of them. Raises as `Job.retry` does.
    """
    if old.retried:
        raise InvalidJob(f"Job {old.id} was retried before, as {old.retried}: retry that one.")
    if not old.finished:
        raise InvalidJob(f"Job {old.id} has not ended, so there is nothing to retry.")
    if old.state is State.SUCCESS:
        raise InvalidJob(f"Job {old.id} has succeeded: submit its function anew.")
    payload = payloads.verify_payload(old, signed)
    conf.context(payload.context)
    group = owners.existing_group(old.parent or "")
    present = {id: _present_id(id, instead) for id in (*old.after, *payload.inputs.values())}
    if gone := [id for id in payload.inputs.values() if present[id] is None]:
        raise InvalidJob(f"Job {old.id} gets the result of {gone[0]}, which is gone: submit anew.")
    ids = [id for id in map(present.get, old.after) if id is not None]
    parents = [info for info in get_store().jobs.get_many(ids) if info is not None]
    _require_success(old, parents)
    how = (payload.options, payload.python)
    info = creation.new_job_info(payload.context, group, old.name, old.url, *how, "", parents)
    inputs = {name: present[id] or id for name, id in payload.inputs.items()}
    around, _ = conf.begin_sending(info, None, payload.around)
    again = replace(payload, inputs=inputs, around=around)
    return replace(info, after=tuple(ids), task=old.task, call=old.call), again


def _present_id(id: str, instead: Mapping[str, str]) -> str | None:
    """Return which job runs in the place of one now, or itself; None when it is gone."""
    while id not in instead:
        info = get_store().jobs.get(id)
        if info is None or not info.retried:
            return None if info is None else id
        id = info.retried
    return instead[id]


def _require_success(old: Info, parents: Sequence[Info]) -> None:
    """Raise InvalidJob when a job would be skipped again at once."""
    failed = [each for each in parents if each.finished and each.state is not State.SUCCESS]
    if failed and old.on_failure == SKIP:
        raise InvalidJob(
            f"Job {old.id} waits for {failed[0].name!r}, which did not succeed: retry that one, "
            "and this one is retried with it."
        )


def prepare_skipped(prepared: Sequence[Retry]) -> list[Retry]:
    """Prepare retries of what was skipped because of jobs that are retried, and so on."""
    found, level = list[Retry](), [old for old, _, _ in prepared]
    instead = {old.id: info.id for old, info, _ in prepared}
    while level:
        causes = dict.fromkeys(id for old in level for id in (old.id, *old.ancestors))
        skipped = {
            child.id: child
            for cause in causes
            for child in get_store().dependencies.children(cause)
            if child.id not in instead and _is_skipped(child, instead)
        }
        level = []
        signed = get_store().jobs.payloads(list(skipped))
        for child, raw in zip(skipped.values(), signed, strict=True):
            try:
                found.append((child, *prepare_retry(child, raw, instead)))
            except (InvalidJob, GroupNotFound, PayloadRefused) as error:
                logger.warning("Job %s stays skipped: %s", child.id, error, extra=about(child))
            else:
                instead[child.id] = found[-1][1].id
                level.append(child)
    return found


def _is_skipped(child: Info, instead: Mapping[str, str]) -> bool:
    """Tell whether a job was skipped for one of its parents that is still there.

    That may be another one than those which are retried now, and was perhaps retried before.
    """
    if not child.failed_parent or not child.retryable:
        return False
    return _present_id(child.failed_parent, instead) is not None


def prepare_retries(infos: Sequence[Info]) -> tuple[list[Retry], MoiError | None]:
    """Do so for several; return those that can be retried, and why the last other one cannot."""
    prepared, refusal = list[Retry](), None
    ids = [info.id for info in infos]
    # Read first: who retries one at the same time drops it, and the info then tells of that.
    signed = get_store().jobs.payloads(ids)
    for info, raw in zip(get_store().jobs.get_many(ids), signed, strict=True):
        if info is None:
            continue  # somebody has removed it meanwhile
        try:
            prepared.append((info, *prepare_retry(info, raw)))
        except (InvalidJob, GroupNotFound, PayloadRefused) as error:
            refusal = error
    return prepared, refusal
