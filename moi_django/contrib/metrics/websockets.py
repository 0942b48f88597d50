"""How many websockets are open, in all server processes: Redis knows, as each listens there.

So it is right however many processes there are, and whichever of them dies.
"""

import re
from typing import Any

from django.conf import settings

from moi_django.conf import conf
from moi_django.site_store import get_store

OURS = "moi_django.layers.MoiChannelLayer"


def count_websockets() -> int | None:
    """Return how many there are; None when the layer is another, or on another Redis.

    Consumers of the site on the same layer count, too. Raises StoreUnavailable.
    """
    layer = getattr(settings, "CHANNEL_LAYERS", {}).get(conf.CHANNEL_LAYER, {})
    options = layer.get("CONFIG", {})
    if layer.get("BACKEND") != OURS or options.get("hosts"):
        return None
    prefix = options.get("prefix", f"{conf.KEY_PREFIX}moi-layer")
    connection = get_store().connection
    client: Any = connection.redis
    with connection.translated_errors():
        return len(client.pubsub_channels(f"{_escaped(prefix)}specific.*"))


def _escaped(text: str) -> str:
    """Return a pattern of Redis for a text that may have signs of one."""
    return re.sub(r"([*?\[\]\\])", r"\\\1", text)
