"""ASGI applications of sites that are set up in one way or another."""

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application

from moi_django.routing import websocket_urlpatterns


async def lifespan(scope, receive, send):
    """Say that the server has let the application start."""
    await receive()
    print("the application starts", flush=True)
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


plain = get_asgi_application()
without = ProtocolTypeRouter({"http": plain})
own = ProtocolTypeRouter({"http": plain, "websocket": URLRouter(websocket_urlpatterns)})
whole = ProtocolTypeRouter(
    {
        "http": plain,
        "websocket": AuthMiddlewareStack(URLRouter(websocket_urlpatterns)),
        "lifespan": lifespan,
    }
)
