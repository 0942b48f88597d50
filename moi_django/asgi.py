"""A whole ASGI application: the site over http and moi's websocket, behind session and origin.

    ASGI_APPLICATION = "moi_django.asgi.application"

A site with websockets of its own adds `moi_django.routing.websocket_urlpatterns` to them instead.
"""

from channels.auth import AuthMiddlewareStack
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application
from django.urls import re_path

http = get_asgi_application()

# These import the site's models, so the apps must be ready.
from moi_django.consumers import NOT_FOUND  # noqa: E402
from moi_django.origin import allowed_origin  # noqa: E402
from moi_django.routing import websocket_urlpatterns  # noqa: E402


class NotFoundConsumer(AsyncWebsocketConsumer):
    """Close a socket on any other path with a code that its script can read."""

    channel_layer_alias = "moi: none"

    async def connect(self) -> None:
        """Accept, because before that a browser is not told why, and close."""
        await self.accept()
        await self.close(NOT_FOUND)


websocket = allowed_origin(
    AuthMiddlewareStack(
        URLRouter([*websocket_urlpatterns, re_path("", NotFoundConsumer.as_asgi())])
    )
)

application = ProtocolTypeRouter({"http": http, "websocket": websocket})

# The same with static files, which a web server in front delivers in production.
development = ProtocolTypeRouter({"http": ASGIStaticFilesHandler(http), "websocket": websocket})
