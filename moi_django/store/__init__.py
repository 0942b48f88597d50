"""Redis as the job store: all that knows a key or a script of it."""

from moi_django.store.config import StoreConfig
from moi_django.store.store import Store

__all__ = ["Store", "StoreConfig"]
