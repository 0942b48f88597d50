"""Give each visitor who is not logged in jobs of their own, by session.

MIDDLEWARE = [
    ...
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "moi_django.contrib.visitors.middleware.VisitorMiddleware",
]
"""

from collections.abc import Callable
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.deprecation import MiddlewareMixin
from django.utils.functional import SimpleLazyObject

from moi_django.conf import conf
from moi_django.contrib.visitors.visitor import find_visitor


class VisitorMiddleware(MiddlewareMixin):
    """Lets `request.user` be a `Visitor` instead of an AnonymousUser, and the websocket's too."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        super().__init__(get_response)
        # The websocket has no middleware of Django's: its process has these made for its pages.
        conf.find_visitor = find_visitor

    def process_request(self, request: HttpRequest) -> None:
        """Find out who it is when that is asked for: that reads the session."""
        if not hasattr(request, "user") or not hasattr(request, "session"):
            raise ImproperlyConfigured(
                "In MIDDLEWARE, moi_django.contrib.visitors.middleware.VisitorMiddleware has to "
                "come after SessionMiddleware and AuthenticationMiddleware."
            )
        user, auser = request.user, request.auser

        async def find() -> Any:
            return find_visitor(await auser(), request.session)

        lazy: Any = SimpleLazyObject(lambda: find_visitor(user, request.session))
        request.user = lazy
        request.auser = find
