"""The map of users and their root groups."""

import uuid
from collections.abc import Callable
from typing import Any

from moi_django.models import Info
from moi_django.store.connection import Connection


class UserMap:
    """Each user with the id of the user's root group, and the other way round."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._keys = connection, connection.keys
        self._redis, self._expire = connection.redis, connection.config.expire

    def enrol(self, user: str, root: Callable[[str], Info]) -> str:
        """Return the id of a user's root group, made with `root(id)` when there is none."""
        group: str = self._connection.run_script(
            "enrol",
            {"users": self._keys.users},
            {"user": user, "new_id": str(uuid.uuid4()), "lifetime": self._expire},
        ).decode()
        with self._connection.translated_errors():
            # It may have expired with all its jobs: its id stays the user's.
            raw = root(group).to_json()
            self._redis.set(self._keys.info(group), raw, ex=self._expire, nx=True)
        return group

    def to_dict(self) -> dict[str, str]:
        """Return the whole map, which has each pair both ways."""
        with self._connection.translated_errors():
            pairs: Any = self._redis.hgetall(self._keys.users)
        return {key.decode(): value.decode() for key, value in pairs.items()}

    def lookup(self, key: str) -> str | None:
        """Return the group id of a user, or the user of a group id, or None."""
        with self._connection.translated_errors():
            value: Any = self._redis.hget(self._keys.users, key)
        return value.decode() if value else None

    def lookup_many(self, keys: list[str]) -> dict[str, str]:
        """Return what `lookup` does of several, those left out of which nothing is known."""
        with self._connection.translated_errors():
            values: Any = self._redis.hmget(self._keys.users, keys) if keys else []
        pairs = zip(keys, values, strict=True)
        return {key: value.decode() for key, value in pairs if value}
