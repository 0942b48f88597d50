"""The store of this site: opened from the settings when first used, shared by all threads."""

from functools import lru_cache

from moi_django.conf import conf
from moi_django.store import Store


def get_store() -> Store:
    """Return the store that the settings name now.

    Raises NotRunning when they name none and no `moi up` runs.
    """
    return _open_store(
        conf.redis_url, conf.KEY_PREFIX, conf.EXPIRE, conf.LEASE, conf.RETRY_PAYLOAD_LIMIT
    )


@lru_cache(maxsize=4)
def _open_store(url: str, prefix: str, expire: int, lease: float, keep: int) -> Store:
    return Store(url, prefix, expire, lease, keep)
