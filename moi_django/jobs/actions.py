"""Cancel, retry and remove jobs and groups: first permitted, then done, whoever asks.

The websocket, our pages, the operator's panel and the command line all come this way.
"""

import logging
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from moi_django import authorization
from moi_django.exceptions import InvalidJob, JobNotFound, MoiError, PayloadRefused
from moi_django.jobs import api
from moi_django.models import Info
from moi_django.site_store import get_store
from moi_django.store.job_batches import GoesOn, always

logger = logging.getLogger(__name__)

Verb = Literal["cancel", "retry", "remove"]
# Why nothing can be done with one job, and perhaps with another.
REFUSALS = (InvalidJob, JobNotFound, PayloadRefused)


class Done(NamedTuple):
    """What an action has done."""

    # How many jobs were cancelled or retried, or jobs and groups removed.
    affected: int
    # What was acted on as it is now; of a job that was retried, the one that runs in its place.
    info: Info


def find_permitted(user: Any, action: authorization.Action, id: str) -> Info | None:
    """Return a job or group if it is there and the user may do that with it."""
    info = get_store().jobs.get(id)
    return info if info is not None and authorization.allowed(user, action, info) else None


def act(user: Any, verb: Verb, id: str, goes_on: GoesOn = always) -> Done:
    """Do something with a job or group if the user may change it.

    Raises JobNotFound when there is none or it is another's, which is answered alike; and what
    `perform` raises.
    """
    info = find_permitted(user, "change", id)
    if info is None:
        raise JobNotFound.for_id(id)
    done = perform(verb, info, goes_on)
    if verb == "remove" and not done.affected:
        raise JobNotFound.for_id(id)  # somebody else was faster
    return done


def perform(verb: Verb, info: Info, goes_on: GoesOn = always) -> Done:
    """Do something with a job, or with what is below a group, that may be changed.

    Of many jobs the rest is left when `goes_on` says no.

    Raises InvalidJob, PayloadRefused or JobNotFound when it cannot be done with this one; other
    MoiErrors when it cannot be done now.
    """
    return _PERFORM[verb](info, goes_on)


def refusal(error: MoiError) -> str:
    """Return what to tell a page that an action could not be done."""
    if isinstance(error, (InvalidJob, PayloadRefused)):
        return str(error)
    logger.warning("Cannot act for a page: %s", error)
    return "Cannot be done now: the server has no Redis or no cluster."


def _cancel(info: Info, goes_on: GoesOn) -> Done:
    if info.is_group:
        return Done(get_store().tree.cancel(info.id, goes_on), info)
    present, is_done = get_store().jobs.cancel(info.id)
    return Done(int(is_done), present)


def _retry(info: Info, goes_on: GoesOn) -> Done:
    if info.is_group:
        return Done(len(api.Group(info).retry(goes_on)), info)
    return Done(1, api.Job(info).retry().info)


def _remove(info: Info, goes_on: GoesOn) -> Done:
    return Done(len(get_store().tree.remove(info.id, goes_on)), info)


_PERFORM: dict[Verb, Callable[[Info, GoesOn], Done]] = {
    "cancel": _cancel,
    "retry": _retry,
    "remove": _remove,
}
