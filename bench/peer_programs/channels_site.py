"""A site with channels-redis alone: one group, each change sent to it as it comes."""

import os

from channels.generic.websocket import AsyncWebsocketConsumer

GROUP = "room"


class Page(AsyncWebsocketConsumer):
    """Hands on what its group is told."""

    async def connect(self):
        """Join the group."""
        await self.channel_layer.group_add(GROUP, self.channel_name)
        await self.accept()

    async def disconnect(self, code):
        """Leave the group."""
        await self.channel_layer.group_discard(GROUP, self.channel_name)

    async def change(self, event):
        """Tell of a change."""
        await self.send(event["text"])


def layers():
    """Return CHANNEL_LAYERS with room for bursts, without the timeout that ends idle sockets."""
    host = {"address": os.environ["MOI_REDIS_URL"], "socket_timeout": None, "max_connections": 2000}
    config = {"hosts": [host], "capacity": 10_000}
    return {"default": {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": config}}


application = Page.as_asgi()
