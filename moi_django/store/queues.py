"""Which jobs wait, pause and run, as engines and the reconciler see it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from moi_django.models import Info
from moi_django.store import scripts
from moi_django.store.keys import Keys, member
from moi_django.store.pool import Connection

# Seconds for which an engine is believed to run its job; it renews that four times as often.
LEASE = 8.0
# So many are handed out at once.
BATCH = 500


@dataclass(frozen=True, slots=True)
class Turn:
    """One run of a job in one of the zsets."""

    id: str
    attempt: int
    # Seconds since 1970; what they mean depends on the zset.
    at: float
    # Name of the zset.
    key: str

    @property
    def member(self) -> str:
        """What stands for it in the zset."""
        return f"{self.attempt}:{self.id}"


class Queues(Keys, Connection):
    """The zsets of unfinished jobs in one Redis, under one key prefix."""

    def __init__(self, url: str, prefix: str, expire: int, lease: float) -> None:
        Keys.__init__(self, prefix)
        Connection.__init__(self, url)
        self.expire, self.lease = expire, lease
        self._renew = self.redis.register_script(scripts.RENEW)
        self._claim = self.redis.register_script(scripts.CLAIM)
        self._arrive = self.redis.register_script(scripts.ARRIVE)

    def time(self) -> float:
        """Return the time by the clock of Redis, in seconds since 1970."""
        with self.answers():
            seconds, micros = self.redis.time()
        return seconds + micros / 1e6

    # Of an engine

    def arrive(self, context: str, sent: float) -> None:
        """Note that what was sent to a context at some time has reached an engine."""
        with self.answers():
            self._arrive(keys=[self.dispatched_key(context)], args=[repr(sent), self.expire])

    def renew(self, info: Info) -> bool:
        """Renew the lease of a run; tell whether the run is still wanted."""
        with self.answers():
            return bool(
                self._renew(
                    keys=[
                        self.running_key,
                        self.key(info.id),
                        *self.own_keys(info.id),
                        *self.above(info),
                    ],
                    args=[member(info), self.lease, self.expire],
                )
            )

    def note_idle(self, engine: str) -> None:
        """Note that an engine has no job now."""
        with self.answers():
            self.redis.set(self.idle_key(engine), self.time(), ex=self.expire)

    def look(self, engine: str | None) -> None:
        """Tell an engine to look whether its job is still wanted; it looks by itself in a while."""
        if engine:
            with self.answers():
                self.redis.publish(self.engine_channel(engine), "look")

    @contextmanager
    def orders(self, engine: str) -> Iterator[Callable[[float], None]]:
        """Subscribe to what an engine is told; the function given waits seconds for the next."""
        with self.answers(), self.redis.pubsub() as pubsub:
            pubsub.subscribe(self.engine_channel(engine))

            def wait(seconds: float) -> None:
                pubsub.get_message(timeout=seconds)

            yield wait

    # Of the reconciler

    def due(self) -> list[Turn]:
        """Return paused runs whose time has come, the longest overdue first."""
        return self._until(self.delayed_key, self.time())

    def overdue(self) -> list[Turn]:
        """Return runs whose engine has not renewed their lease."""
        return self._until(self.running_key, self.time())

    def passed_over(self, context: str, slack: float) -> list[Turn]:
        """Return waiting runs that were sent well before something which has reached an engine.

        A scheduler hands tasks out in the order in which it gets them, so these are not in it.
        """
        with self.answers():
            latest: Any = self.redis.get(self.dispatched_key(context))
        return self._until(self.waiting_key(context), float(latest) - slack) if latest else []

    def waits_since(self, context: str) -> float | None:
        """Return when the run was sent that waits longest for an engine of a context, or None."""
        with self.answers():
            first: Any = self.redis.zrange(self.waiting_key(context), 0, 0, withscores=True)
        return first[0][1] if first else None

    def _until(self, key: str, time: float) -> list[Turn]:
        with self.answers():
            found: Any = self.redis.zrangebyscore(
                key, "-inf", time, start=0, num=BATCH, withscores=True
            )
        turns = []
        for raw, at in found:
            attempt, _, id = raw.decode().partition(":")
            turns.append(Turn(id, int(attempt) if attempt.isdecimal() else 0, at, key))
        return turns

    def turn(self, info: Info, key: str) -> Turn | None:
        """Return the present run of a job if it is in a zset."""
        with self.answers():
            at: Any = self.redis.zscore(key, member(info))
        return None if at is None else Turn(info.id, info.attempt, at, key)

    def claim(self, turn: Turn, context: str | None) -> float | None:
        """Take a run in order to send it; return when, or None when another one has taken it."""
        with self.answers():
            sent = self._claim(
                keys=[turn.key, self.waiting_key(context)],
                args=[turn.member, repr(turn.at), self.expire],
            )
        return float(sent) if sent else None

    def forget(self, turn: Turn) -> None:
        """Drop a run of a job that is gone or has gone on."""
        with self.answers():
            self.redis.zrem(turn.key, turn.member)

    def payload(self, id: str) -> str | None:
        """Return the signed function of a job, or None."""
        with self.answers():
            raw: Any = self.redis.get(self.payload_key(id))
        return raw.decode(errors="replace") if raw is not None else None

    def may_pulse(self, name: str, seconds: int) -> bool:
        """Tell whether no pulse of this name was sent in so many seconds; this one counts."""
        with self.answers():
            return bool(self.redis.set(self.pulse_key(name), "", nx=True, ex=seconds))

    def idle_at(self, engine: str) -> float:
        """Return when an engine was last without a job, as far as is known; else 0."""
        with self.answers():
            at: Any = self.redis.get(self.idle_key(engine))
        return float(at) if at else 0.0

    def uptime(self) -> float:
        """Return for how many seconds Redis has been up."""
        with self.answers():
            said: Any = self.redis.info("server")
        return float(said["uptime_in_seconds"])
