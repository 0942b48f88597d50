"""Which attempts wait, are delayed and run, as engines and the reconciler see it."""

from dataclasses import dataclass
from typing import Any

from moi_django.models import Info
from moi_django.store.connection import Connection
from moi_django.store.keys import member

# How many attempts are handed out at once, and how many of those that run are looked at: there are
# about as many as engines.
BATCH_SIZE, MAX_RUNNING = 500, 5_000


@dataclass(frozen=True, slots=True)
class QueuedAttempt:
    """One attempt of a job in one of the zsets."""

    id: str
    attempt: int
    # Seconds since 1970; what they mean depends on the zset.
    at: float
    # Key of the zset.
    key: str

    @property
    def member(self) -> str:
        """What stands for it in the zset."""
        return f"{self.attempt}:{self.id}"


class JobQueue:
    """The zsets of unfinished jobs."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._keys = connection, connection.keys
        self._redis, self._config = connection.redis, connection.config

    # What engines do

    def arrive(self, context: str, sent: float) -> None:
        """Note that what was sent to a context at some time has reached an engine."""
        self._connection.run_script(
            "arrive",
            {"dispatched": self._keys.dispatched(context)},
            {"sent": repr(sent), "lifetime": self._config.expire},
        )

    def renew(self, info: Info) -> bool:
        """Renew the lease of an attempt; tell whether the attempt is still wanted."""
        keys = {
            "running": self._keys.running,
            "info": self._keys.info(info.id),
            **self._keys.artifacts(info.id),
            "ancestors": self._keys.ancestors(info),
        }
        args = {
            "member": member(info),
            "lease": self._config.lease,
            "lifetime": self._config.expire,
        }
        return bool(self._connection.run_script("renew", keys, args))

    # What the reconciler asks

    def due(self) -> list[QueuedAttempt]:
        """Return delayed attempts whose time has come, the longest overdue first."""
        return self._until(self._keys.delayed, self._connection.server_time())

    def overdue(self) -> list[QueuedAttempt]:
        """Return attempts whose engine has not renewed their lease."""
        return self._until(self._keys.running, self._connection.server_time())

    def passed_over(self, context: str, slack: float) -> list[QueuedAttempt]:
        """Return waiting attempts that were sent well before something which reached an engine.

        A scheduler hands tasks out in the order in which it gets them, so these are not in it.
        """
        with self._connection.translated_errors():
            latest: Any = self._redis.get(self._keys.dispatched(context))
        if not latest:
            return []
        return self._until(self._keys.waiting(context), float(latest) - slack)

    def _until(self, key: str, time: float) -> list[QueuedAttempt]:
        with self._connection.translated_errors():
            found: Any = self._redis.zrangebyscore(
                key, "-inf", time, start=0, num=BATCH_SIZE, withscores=True
            )
        attempts = []
        for raw, at in found:
            attempt, _, id = raw.decode().partition(":")
            number = int(attempt) if attempt.isdecimal() else 0
            attempts.append(QueuedAttempt(id, number, at, key))
        return attempts

    def find_attempt(self, info: Info, key: str) -> QueuedAttempt | None:
        """Return the present attempt of a job if it is in a zset."""
        with self._connection.translated_errors():
            at: Any = self._redis.zscore(key, member(info))
        return None if at is None else QueuedAttempt(info.id, info.attempt, at, key)

    def claim(self, attempt: QueuedAttempt, context: str | None) -> float | None:
        """Take an attempt in order to send it; return when, or None when another one has."""
        sent = self._connection.run_script(
            "claim",
            {"source": attempt.key, "waiting": self._keys.waiting(context)},
            {
                "member": attempt.member,
                "score": repr(attempt.at),
                "lifetime": self._config.expire,
            },
        )
        return float(sent) if sent else None

    def discard(self, attempt: QueuedAttempt) -> None:
        """Drop an attempt of a job that is gone or has gone on."""
        with self._connection.translated_errors():
            self._redis.zrem(attempt.key, attempt.member)

    # What an operator sees

    def waiting_since(self, context: str) -> float | None:
        """Return when the attempt was sent that waits longest for an engine, or None."""
        with self._connection.translated_errors():
            first: Any = self._redis.zrange(self._keys.waiting(context), 0, 0, withscores=True)
        return first[0][1] if first else None

    def waiting_count(self, context: str) -> int:
        """Return how many jobs wait for an engine of a context."""
        with self._connection.translated_errors():
            return int(self._redis.zcard(self._keys.waiting(context)))

    def delayed_count(self) -> int:
        """Return how many jobs wait until they are run again."""
        with self._connection.translated_errors():
            return int(self._redis.zcard(self._keys.delayed))

    def leases(self) -> dict[str, float]:
        """Return the ids of the jobs that run, each with the end of the lease of its engine."""
        with self._connection.translated_errors():
            found: Any = self._redis.zrange(self._keys.running, 0, MAX_RUNNING - 1, withscores=True)
        return {raw.decode().partition(":")[2]: at for raw, at in found}
