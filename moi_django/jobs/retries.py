"""Look which jobs can be run again, and as what; nothing is written."""

from collections.abc import Sequence

from moi_django import owners
from moi_django.cluster import payloads
from moi_django.conf import conf
from moi_django.engine.payloads import Payload
from moi_django.exceptions import GroupNotFound, InvalidJob, MoiError, PayloadRefused
from moi_django.jobs import creation
from moi_django.models import Info, State
from moi_django.site_store import get_store

# The job, the one that is to run instead, and what that is to do.
Retry = tuple[Info, Info, Payload]


def prepare_retry(old: Info, signed: bytes | None) -> tuple[Info, Payload]:
    """Return the job that is to run instead of one, and what it is to do.

    `signed` is what is kept of the function. Raises as `Job.retry` does.
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
    how = (payload.options, payload.python)
    return creation.new_job_info(payload.context, group, old.name, old.url, *how), payload


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
