"""The store of this site: opened from the settings when first used, shared by all threads."""

from functools import lru_cache

from moi_django.conf import conf
from moi_django.store import Store, StoreConfig


def get_store() -> Store:
    """Return the store that the settings name now.

    Raises NotRunning when they name none and no `moi up` runs.
    """
    return _open_store(_config_for(conf.redis_url))


def engine_store_config() -> StoreConfig:
    """Return where the engines find the jobs of this site."""
    return _config_for(conf.engine_redis_url)


def _config_for(url: str) -> StoreConfig:
    limit, begins_events = conf.RETRY_PAYLOAD_LIMIT, conf.hears_events
    return StoreConfig(url, conf.KEY_PREFIX, conf.EXPIRE, conf.LEASE, limit, begins_events)


@lru_cache(maxsize=4)
def _open_store(config: StoreConfig) -> Store:
    return Store(config)
