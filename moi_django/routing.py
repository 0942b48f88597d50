"""Where the websocket is: `moi-ws/` below the site's root."""

from django.urls import path

from moi_django.consumers import JobsConsumer

PATH = "moi-ws/"

websocket_urlpatterns = [path(PATH, JobsConsumer.as_asgi())]
