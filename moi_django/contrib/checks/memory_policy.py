"""Ask a Redis whether it keeps what it is given, and all of it."""

from typing import Any, NamedTuple

from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from moi_django.store.connection import QUICK
from moi_django.store.redis_url import open_client


class MemoryPolicy(NamedTuple):
    """What a Redis does with its keys when it is full, and when it is started anew."""

    policy: str
    persists: bool
    # It has only some of the keys.
    is_cluster_node: bool

    @property
    def evicts(self) -> bool:
        """True when it drops keys."""
        return self.policy != "noeviction"


def read_memory_policy(url: str) -> MemoryPolicy | None:
    """Return what a Redis says of its memory; None when it is not there or does not say."""
    client: Any = open_client(url, retry=Retry(NoBackoff(), 0), **QUICK)
    try:
        with client:
            info = client.info("everything")
            snapshots = client.config_get("save").get("save")
    except RedisError:
        return None
    policy = info.get("maxmemory_policy", "noeviction") if info.get("maxmemory") else "noeviction"
    persists = bool(info.get("aof_enabled") or snapshots)
    return MemoryPolicy(policy, persists, bool(info.get("cluster_enabled")))
