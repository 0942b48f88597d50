"""The channel layer we ship: channels-redis on the Redis that moi uses, found when first needed."""

from typing import Any

from channels_redis.pubsub import RedisPubSubChannelLayer, RedisPubSubLoopLayer

from moi_django.conf import conf
from moi_django.store.redis_url import get_sentinels


class MoiChannelLayer(RedisPubSubChannelLayer):
    """A channel layer without a host of its own: `"BACKEND": "moi_django.layers.MoiChannelLayer"`.

    Its channels start with MOI["KEY_PREFIX"], because pubsub ignores the number of the database.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._ready = bool(options.get("hosts"))

    def _get_layer(self) -> RedisPubSubLoopLayer:
        if conf.is_isolated or not self._ready:
            sentinels = get_sentinels(conf.redis_url)
            host = sentinels.async_connection_options() if sentinels else conf.redis_url
            self._kwargs["hosts"] = [host]
            self._kwargs.setdefault("prefix", f"{conf.KEY_PREFIX}moi-layer")
            self._ready = True
        return super()._get_layer()
