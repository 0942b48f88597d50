"""Ask a Redis whether it keeps what it is given."""

from typing import Any, NamedTuple

import redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from moi_django.store.connection import QUICK


class MemoryPolicy(NamedTuple):
    """What a Redis does with its keys when it is full, and when it is started anew."""

    policy: str
    persists: bool

    @property
    def evicts(self) -> bool:
        """True when it drops keys."""
        return self.policy != "noeviction"


def read_memory_policy(url: str) -> MemoryPolicy | None:
    """Return what a Redis says of its memory; None when it is not there or does not say."""
    client: Any = redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0), **QUICK)
    try:
        with client:
            info = client.info("everything")
            snapshots = client.config_get("save").get("save")
    except RedisError:
        return None
    policy = info.get("maxmemory_policy", "noeviction") if info.get("maxmemory") else "noeviction"
    return MemoryPolicy(policy, bool(info.get("aof_enabled") or snapshots))
