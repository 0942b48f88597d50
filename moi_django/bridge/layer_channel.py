"""Send messages to the viewers in this process by the channel layer of the site."""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from channels.layers import get_channel_layer
from redis.exceptions import RedisError

from moi_django.bridge.async_redis import raise_if_cancelled
from moi_django.conf import conf

logger = logging.getLogger(__name__)


class LayerChannel:
    """A group of the layer that this event loop alone has joined, once for all of its viewers."""

    def __init__(
        self,
        hear: Callable[[Any], Awaitable[None]],
        set_connected: Callable[[bool], None],
        silence: float,
    ) -> None:
        self._hear, self._set_connected = hear, set_connected
        # Seconds for which nothing is heard of a layer that is there, as something is sent often.
        self._silence = silence
        self._layer: Any = get_channel_layer(conf.CHANNEL_LAYER)
        self.name = secrets.token_hex(8)
        self.joined = asyncio.Event()
        # Number of the last message, by which a lost one is noticed: a layer delivers at most once.
        self._sent = 0

    async def send(self, told: Any) -> None:
        """Let something be heard, at most once."""
        self._sent += 1
        message = {"type": "moi.frames", "number": self._sent, "told": told}
        await self._layer.group_send(f"moi.{self.name}", message)

    async def hear_layer(self) -> None:
        """Hear what is sent; on any trouble, and in a silence, say so and join the group anew."""
        while True:
            try:
                channel = await self._layer.new_channel()
                await self._layer.group_add(f"moi.{self.name}", channel)
                heard = self._sent
                await self.send({})  # that this is heard shows that it is there
                while True:
                    raise_if_cancelled()
                    message = await self._receive(channel)
                    if message["number"] > heard + 1:
                        self._set_connected(False)
                    heard = message["number"]
                    await self._hear(message["told"])
                    self._set_connected(True)
                    self.joined.set()
            except Exception as error:
                is_ours = not isinstance(error, (RedisError, OSError))
                logger.warning("No channel layer, trying again: %s", error, exc_info=is_ours)
            finally:
                self.joined.clear()
                self._set_connected(False)
            raise_if_cancelled()
            await asyncio.sleep(0.5)

    async def _receive(self, channel: str) -> Any:
        try:
            return await asyncio.wait_for(self._layer.receive(channel), self._silence)
        except TimeoutError:
            raise ConnectionError(f"it is silent for {self._silence:.0f} s") from None
