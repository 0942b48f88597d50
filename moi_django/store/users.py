"""The map of users and their root groups."""

import uuid
from collections.abc import Callable
from typing import Any

from moi_django.exceptions import GroupNotFound
from moi_django.models import Info
from moi_django.store.connection import Connection
from moi_django.store.job_records import parse_info


class UserMap:
    """Each user with the id of the user's root group, and the other way round."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._keys = connection, connection.keys
        self._redis, self._expire = connection.redis, connection.config.expire

    def enrol(self, user: str, root: Callable[[str], Info]) -> Info:
        """Return a user's root group, made with `root(id)` when there is none.

        Raises GroupNotFound when something that is no group of ours has its key.
        """
        new = root(str(uuid.uuid4()))
        id, raw = self._connection.run_script(
            "enrol",
            {"users": self._keys.users},
            {
                "user": user,
                "new_id": new.id,
                "new_json": new.to_json(),
                "lifetime": self._expire,
                "prefix": self._keys.prefix,
            },
        )
        if raw is None:
            return self._revive(root(id.decode()))
        info = parse_info(raw, id.decode())
        if info is None:
            raise GroupNotFound.for_id(id.decode())
        return info

    def _revive(self, root: Info) -> Info:
        """Write a root group that has expired with all its jobs: its id stays the user's."""
        with self._connection.translated_errors():
            key = self._keys.info(root.id)
            self._redis.set(key, root.to_json(), ex=self._expire, nx=True)
        return root

    def to_dict(self) -> dict[str, str]:
        """Return the whole map, which has each pair both ways."""
        with self._connection.translated_errors():
            pairs: Any = self._redis.hgetall(self._keys.users)
        return {_text(key): _text(value) for key, value in pairs.items()}

    def lookup(self, key: str) -> str | None:
        """Return the group id of a user, or the user of a group id, or None."""
        with self._connection.translated_errors():
            value: Any = self._redis.hget(self._keys.users, key)
        return _text(value) if value else None

    def lookup_many(self, keys: list[str]) -> dict[str, str]:
        """Return what `lookup` does of several, those left out of which nothing is known."""
        with self._connection.translated_errors():
            values: Any = self._redis.hmget(self._keys.users, keys) if keys else []
        pairs = zip(keys, values, strict=True)
        return {key: _text(value) for key, value in pairs if value}


def _text(raw: bytes) -> str:
    """Return a name or an id, which people may read."""
    return raw.decode(errors="backslashreplace")
