"""Tell whether the session of a websocket still logs its user in: a socket outlives a logout."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from importlib import import_module
from types import SimpleNamespace
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user
from django.db import DatabaseError

from moi_django.conf import conf
from moi_django.exceptions import MoiError

logger = logging.getLogger(__name__)

# How many checks in a row may not be made until a page that cannot be checked is closed.
MAX_FAILED_CHECKS = 3


def session_user(scope: dict[str, Any]) -> Any:
    """Return the user whom the session of a connection logs in now, with present permissions.

    It is another one after a logout, a new password, or when the account was switched off. Where
    the site knows its users by other means than sessions, it is the one who was found at first.
    """
    session, user = scope.get("session"), scope["user"]
    if session is None or (user.is_anonymous and not hasattr(user, "moi_field")):
        return user
    store = import_module(settings.SESSION_ENGINE).SessionStore
    request = SimpleNamespace(session=store(session.session_key))
    return conf.find_visitor(get_user(request), request.session)  # type: ignore[arg-type]


async def check_until_refused(
    check: Callable[[], Awaitable[int | None]], interval: float, at_fault: int
) -> int:
    """Check every `interval` seconds whether a connection may go on; return why it may not.

    `check` returns the code to close with, or None. One that cannot be made, because Redis or the
    database is away, is made again a few times; then, and when it fails otherwise, the code is
    `at_fault`.
    """
    code, failed = None, 0
    while code is None:
        await asyncio.sleep(interval)
        try:
            code, failed = await check(), 0
        except (MoiError, DatabaseError) as error:
            failed += 1
            logger.warning("Cannot look at the session of a page: %s", error)
            if failed >= MAX_FAILED_CHECKS:
                return at_fault
        except Exception:
            logger.exception("A page whose session cannot be looked at is closed")
            return at_fault
    return code
