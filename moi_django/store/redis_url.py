"""Open what a url of Redis names; an optional part knows the urls that name sentinels."""

from importlib import import_module
from typing import Any

import redis
from redis import connection

SENTINEL = "moi_django.contrib.sentinel.primary"


def get_sentinels(url: str) -> Any:
    """Return the sentinels of a url; None when it names a server. Raises ValueError."""
    return import_module(SENTINEL).get_sentinels(url) if "+sentinel://" in url else None


def connection_options(url: str) -> dict[str, Any]:
    """Return with what a pool opens connections. Raises ValueError."""
    sentinels = get_sentinels(url)
    # Has no types.
    parse: Any = connection.parse_url
    return dict(sentinels.connection_options() if sentinels else parse(url))


def open_client(url: str, **options: Any) -> redis.Redis:
    """Return a client of what a url names."""
    return redis.Redis.from_pool(redis.ConnectionPool(**options, **connection_options(url)))
