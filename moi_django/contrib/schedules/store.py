"""How far each schedule has come, in one hash of Redis."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

from moi_django.store.connection import Connection

# Seconds for which that is kept after the last look: no site is down for longer.
LIFETIME = 400 * 86_400


@dataclass(frozen=True, slots=True)
class ScheduleState:
    """What is known of one schedule."""

    # The tick that was last dealt with, or when it was first seen.
    last: float
    # The cron line and the zone by which that was.
    line: str
    # Ids of the two latest jobs, the latest first; that one may not have been created yet.
    jobs: tuple[str, ...] = ()
    paused: bool = False

    def with_job(self, id: str) -> tuple[str, ...]:
        """Return what `jobs` is with another one."""
        return (id, *[each for each in self.jobs if each != id][:1])

    def to_json(self) -> str:
        """Return it as Redis keeps it."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, raw: bytes | None) -> "ScheduleState | None":
        """Return what Redis keeps; None when that is nothing, or nothing of ours."""
        try:
            given = json.loads(raw or b"null")
            state = cls(
                float(given["last"]),
                str(given["line"]),
                (*map(str, given["jobs"]),),
                given["paused"],
            )
        except (ValueError, TypeError, KeyError):
            return None
        return state if isfinite(state.last) and isinstance(state.paused, bool) else None


Change = Callable[[ScheduleState | None], ScheduleState | None]


class ScheduleStates:
    """The states by the names of the schedules."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._redis = connection, connection.redis
        self._key = connection.keys.schedules

    def read_all(self) -> dict[str, ScheduleState]:
        """Return what there is, and keep it for longer."""
        with self._connection.translated_errors():
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.hgetall(self._key)
            pipeline.expire(self._key, LIFETIME)
            found, _ = pipeline.execute()
        states = {name.decode(errors="replace"): raw for name, raw in found.items()}
        parsed = {name: ScheduleState.from_json(raw) for name, raw in states.items()}
        return {name: state for name, state in parsed.items() if state is not None}

    def update(self, name: str, change: Change) -> tuple[ScheduleState | None, bool]:
        """Replace a state by what `change` makes of the present one, None to leave it.

        `change` is called again when another writer came first, or the answer was lost. Returns the
        present state and whether it was written.
        """

        client: Any = self._redis  # whose types know of no function that returns something

        def swap(pipeline: Any) -> tuple[ScheduleState | None, bool]:
            before = ScheduleState.from_json(pipeline.hget(self._key, name))
            after = change(before)
            pipeline.multi()
            if after is None:
                return before, False
            pipeline.hset(self._key, name, after.to_json())
            pipeline.expire(self._key, LIFETIME)
            return after, True

        with self._connection.translated_errors():
            done: tuple[ScheduleState | None, bool] = client.transaction(
                swap, self._key, value_from_callable=True
            )
        return done
