"""How to reach Redis: pools that wait for a free connection, and never wait for ever."""

from typing import Any
from urllib.parse import urlsplit

import redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

OPTIONS: dict[str, Any] = {
    "socket_connect_timeout": 1.5,
    "socket_timeout": 10,
    "health_check_interval": 30,
}


def blocking_pool(url: str, size: int = 16) -> redis.BlockingConnectionPool:
    """Return a pool of at most `size` connections."""
    return redis.BlockingConnectionPool.from_url(
        url,
        max_connections=size,
        timeout=10,
        # The first command after a restart of Redis finds a dead connection: try again.
        retry=Retry(ExponentialWithJitterBackoff(cap=0.5, base=0.05), 2),
        retry_on_error=[redis.ConnectionError, redis.TimeoutError],
        **OPTIONS,
    )


def without_secret(url: str) -> str:
    """Return a Redis url without its password, fit for a message."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
