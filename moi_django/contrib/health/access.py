"""Who may read what operators read over http: it is nobody, unless the site has said who."""

from typing import Any

from asgiref.sync import sync_to_async
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare

from moi_django import authorization
from moi_django.conf import conf


async def is_operator(request: HttpRequest) -> bool:
    """Tell whether a request has the token, or is of a user who may see the jobs of all users."""
    return _has_token(request) or await _sees_all(request)


def _has_token(request: HttpRequest) -> bool:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    token = conf.MONITOR_TOKEN
    # What is no text, such as True, is not taken for the word that stands for it.
    if not isinstance(token, str) or not token or scheme.lower() != "bearer":
        return False
    return constant_time_compare(given.strip(), token)


async def _sees_all(request: HttpRequest) -> bool:
    if not hasattr(request, "auser"):
        return False  # the site has no middleware that knows users
    user: Any = await request.auser()
    return await sync_to_async(authorization.sees_all)(user)
