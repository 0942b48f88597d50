"""How many websockets are open, in all server processes: each says so where it listens in Redis.

So it is right however many processes there are, and whichever of them dies.
"""

import re
from typing import Any

from moi_django.site_store import get_store


def count_websockets() -> int:
    """Return how many there are. Raises StoreUnavailable."""
    connection = get_store().connection
    client: Any = connection.redis
    with connection.translated_errors():
        channels = client.pubsub_channels(_escaped(connection.keys.sockets("")) + "*")
    return sum(int(channel.rpartition(b":")[2]) for channel in channels)


def _escaped(text: str) -> str:
    """Return a pattern of Redis for a text that may have signs of one."""
    return re.sub(r"([*?\[\]\\])", r"\\\1", text)
