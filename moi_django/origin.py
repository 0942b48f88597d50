"""Refuse the pages of other sites, and let in what is no page.

A browser says with every websocket from which page it comes, and no script can keep it from that.
What says nothing is a program: it has no cookie but its own, and needs a session all the same.
"""

from io import BytesIO
from typing import Any
from urllib.parse import SplitResult, urlsplit

from channels.security.websocket import WebsocketDenier
from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.core.handlers.asgi import ASGIRequest
from django.utils.http import is_same_domain

_DEFAULT_PORTS = {"http": 80, "https": 443}


def allowed_origin(application: Any) -> Any:
    """Return a websocket application that pages of other sites do not reach.

    A page has to come from the host and port that it asks, as Django has them, from an origin of
    CSRF_TRUSTED_ORIGINS, or from the usual port of another host that ALLOWED_HOSTS names.
    """
    denier = WebsocketDenier()

    async def checked(scope: Any, receive: Any, send: Any) -> None:
        origins = [value.decode("latin1") for name, value in scope["headers"] if name == b"origin"]
        is_allowed = all(_is_allowed(scope, origin) for origin in origins)
        await (application if is_allowed else denier)(scope, receive, send)

    return checked


def _is_allowed(scope: dict[str, Any], origin: str) -> bool:
    try:
        page = urlsplit(origin)
        host, port = page.hostname, page.port
    except ValueError:
        return False
    if page.scheme not in _DEFAULT_PORTS or not host:
        return False
    if port == _DEFAULT_PORTS[page.scheme]:
        port = None
    asked = _asked_address(scope)
    if (host, port) == asked or _is_trusted(page):
        return True
    named = [pattern for pattern in settings.ALLOWED_HOSTS if pattern != "*"]
    is_other_host = asked is None or host != asked[0]
    return port is None and is_other_host and any(is_same_domain(host, each) for each in named)


def _asked_address(scope: dict[str, Any]) -> tuple[str | None, int | None] | None:
    """Return the host that is asked, and its port if it has an unusual one; None for a wrong host.

    Whether it is http or https is left open: a proxy may not tell.
    """
    request = ASGIRequest({**scope, "type": "http", "method": "GET"}, BytesIO())
    try:
        asked = urlsplit(f"//{request.get_host()}")
    except DisallowedHost:
        return None
    return asked.hostname, None if asked.port in _DEFAULT_PORTS.values() else asked.port


def _is_trusted(page: SplitResult) -> bool:
    for origin in settings.CSRF_TRUSTED_ORIGINS:
        trusted = urlsplit(origin.replace("*", ""))
        if trusted.scheme == page.scheme and is_same_domain(page.netloc, trusted.netloc):
            return True
    return False
