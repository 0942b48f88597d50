"""Where the websocket is: `moi-ws/` below the site's root."""

from django.urls import path

from moi_django.conf import WEBSOCKET_PATH
from moi_django.consumers import JobsConsumer

websocket_urlpatterns = [path(WEBSOCKET_PATH, JobsConsumer.as_asgi())]
