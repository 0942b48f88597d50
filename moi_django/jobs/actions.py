"""What a page may do with a job or a group, once it is known that its user may."""

import logging
from typing import Any

from moi_django import access
from moi_django.exceptions import InvalidJob, MoiError, PayloadRefused
from moi_django.jobs import api
from moi_django.models import Info
from moi_django.site_store import get_store

logger = logging.getLogger(__name__)


def find_permitted(user: Any, action: access.Action, id: str) -> Info | None:
    """Return a job or group if it is there and the user may do that with it."""
    info = get_store().jobs.get(id)
    may = info is not None and access.allowed(user, action, info)
    return info if may else None


def cancel_permitted(user: Any, id: str) -> bool:
    """Cancel a job, or what is unfinished below a group; tell whether the user may."""
    if find_permitted(user, "change", id) is None:
        return False
    get_store().tree.cancel(id)
    return True


def remove_permitted(user: Any, id: str) -> bool:
    """Remove a job, or a group with all below it; tell whether the user may."""
    return find_permitted(user, "change", id) is not None and bool(get_store().tree.remove(id))


def retry_for_page(info: Info) -> str:
    """Retry a job that was `found`, or what has failed below such a group.

    Returns why that cannot be done, or "".
    """
    try:
        (api.Group(info) if info.is_group else api.Job(info)).retry()
    except (InvalidJob, PayloadRefused) as error:
        return str(error)
    except MoiError as error:
        logger.warning("Cannot retry for a page: %s", error)
        return "Cannot be done now: the server has no Redis or no cluster."
    return ""
