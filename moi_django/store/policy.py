"""What bounds the queues: limits, pauses and drained engines, as every claim looks at them."""

from collections.abc import Mapping
from typing import Any

from moi_django.models import now
from moi_django.store.connection import Connection
from moi_django.validation import text_of

# Fields: "0" for first come, first served; how many jobs of an owner may run that has no own bound.
FAIR, EACH_OWNER = "fair", "owner"


def limit_slot(limit: str) -> str:
    """Return what jobs take that need a named limit."""
    return f"limit:{limit}"


def owner_slot(context: str, root: str) -> str:
    """Return what jobs of one owner take in a context."""
    return f"owner:{context}:{root}"


def paused(context: str) -> str:
    """Return the field that is there while a context is paused."""
    return f"paused:{context}"


def drained(engine: str) -> str:
    """Return the field that is there while an engine claims nothing."""
    return f"drained:{engine}"


def restart(engine: str) -> str:
    """Return the field that is there until an engine, which claims nothing, has loaded new code."""
    return f"restart:{engine}"


class QueuePolicy:
    """The fields of one hash; a bound is how many jobs may run at once that take its slot."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._redis = connection, connection.redis
        self._key, self._expire = connection.keys.policy, connection.config.expire

    def read(self) -> dict[str, str]:
        """Return all that is set."""
        with self._connection.translated_errors():
            found: Any = self._redis.hgetall(self._key)
        return {text_of(field): text_of(value) for field, value in found.items()}

    def has(self, field: str) -> bool:
        """Tell whether something is set."""
        with self._connection.translated_errors():
            return bool(self._redis.hexists(self._key, field))

    def update(self, fields: Mapping[str, str | int | None]) -> None:
        """Set fields, and drop those that are None."""
        dropped = [field for field, value in fields.items() if value is None]
        kept: Any = {field: value for field, value in fields.items() if value is not None}
        with self._connection.translated_errors():
            pipeline = self._redis.pipeline()
            if dropped:
                pipeline.hdel(self._key, *dropped)
            if kept:
                pipeline.hset(self._key, mapping=kept)
            pipeline.expire(self._key, self._expire)
            pipeline.execute()

    def start(self, field: str) -> None:
        """Let a pause begin, or an engine be drained."""
        self.update({field: now()})

    def stop(self, field: str) -> bool:
        """Let that be over; tell whether it was so."""
        with self._connection.translated_errors():
            return bool(self._redis.hdel(self._key, field))
