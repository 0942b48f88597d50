"""ASGI applications of sites that are set up in one way or another."""

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application

from moi_django.routing import websocket_urlpatterns

plain = get_asgi_application()
without = ProtocolTypeRouter({"http": plain})
own = ProtocolTypeRouter({"http": plain, "websocket": URLRouter(websocket_urlpatterns)})
