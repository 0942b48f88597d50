"""Tell whether the session of a websocket still logs its user in: a socket outlives a logout."""

from importlib import import_module
from types import SimpleNamespace
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user


def session_user(scope: dict[str, Any]) -> Any:
    """Return the user whom the session of a connection logs in now, with present permissions.

    It is anonymous after a logout, a new password, or when the account was switched off. Where the
    site knows its users by other means than sessions, it is the one who was found at first.
    """
    session = scope.get("session")
    if session is None or not scope["user"].is_authenticated:
        return scope["user"]
    store = import_module(settings.SESSION_ENGINE).SessionStore
    request = SimpleNamespace(session=store(session.session_key))
    return get_user(request)  # type: ignore[arg-type]
