"""Who may read what operators read over http: it is nobody, unless the site has said who."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from moi_django import authorization
from moi_django.conf import conf

View = Callable[[HttpRequest], Awaitable[HttpResponse]]


def monitoring_view(view: View) -> Any:
    """Let programs read what a view says: it needs no login, is only read, and never kept."""
    return login_not_required(require_safe(never_cache(view)))


def operator_view(view: View) -> Any:
    """Do the same for requests alone with the token, or of users who may see everybody's jobs."""

    @wraps(view)
    async def guarded(request: HttpRequest) -> HttpResponse:
        if _has_token(request) or await _sees_all(request):
            return await view(request)
        return HttpResponse("forbidden\n", status=403, content_type="text/plain")

    return monitoring_view(guarded)


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
