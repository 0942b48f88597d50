"""What Redis holds about the jobs of all users and about engines, for the operator of the site."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Self

from moi_django.models import Info, State
from moi_django.store.leavings import Leavings
from moi_django.store.reader import CHUNK
from moi_django.store.vitals import Vitals

# Seconds for which is kept what an engine has said of itself.
KEPT = 86_400
# No more running jobs are looked at: there are about as many as engines.
RUNNING = 5_000


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a job is in the index of all, from the newest on."""

    # Seconds since 1970.
    created: float
    id: str

    def __str__(self) -> str:
        return f"{self.created!r}:{self.id}"

    @classmethod
    def of(cls, text: str) -> Self | None:
        """Read what `str` has written; None when it is none."""
        created, _, id = text.partition(":")
        try:
            place = cls(float(created), id)
        except ValueError:
            return None
        return place if id and isfinite(place.created) else None


@dataclass(slots=True)
class Ended:
    """Jobs that ended in some time: how many, and for how long all of them ran and had waited."""

    jobs: dict[str, int] = field(default_factory=dict)
    ran: float = 0.0
    waited: float = 0.0

    @property
    def total(self) -> int:
        """How many of all states."""
        return sum(self.jobs.values())

    @property
    def mean_ran(self) -> float | None:
        """Seconds that a job ran on average."""
        return self.ran / self.total if self.total else None

    @property
    def mean_waited(self) -> float | None:
        """Seconds that a job had waited on average."""
        return self.waited / self.total if self.total else None

    def add(self, other: "Ended") -> None:
        """Take in those of another time."""
        for state, count in other.jobs.items():
            self.jobs[state] = self.jobs.get(state, 0) + count
        self.ran += other.ran
        self.waited += other.waited


@dataclass(frozen=True, slots=True)
class Report:
    """What an engine has said of itself, and when, by the clock of Redis."""

    vitals: Vitals
    at: float


class Figures(Leavings):
    """Engines, and the jobs of all users, in one Redis under one key prefix."""

    # Engines

    def report(self, vitals: Vitals) -> None:
        """Keep what an engine says of itself."""
        now = self.time()
        with self.answers():
            pipeline = self.redis.pipeline(transaction=False)
            pipeline.set(self.engine_key(vitals.engine), vitals.to_json(), ex=KEPT)
            pipeline.zadd(self.engines_key, {vitals.engine: now})
            pipeline.zremrangebyscore(self.engines_key, "-inf", now - KEPT)
            pipeline.expire(self.engines_key, KEPT)
            pipeline.publish(self.jobs_key, "")
            pipeline.execute()

    def reports(self) -> dict[str, Report]:
        """Return the latest of what each engine has said of itself, by its id."""
        with self.answers():
            found: Any = self.redis.zrange(self.engines_key, 0, -1, withscores=True)
            keys = [self.engine_key(engine.decode()) for engine, _ in found]
            raws: Any = self.redis.mget(keys) if keys else []
        vitals = [Vitals.from_json(raw) for raw in raws]
        said = zip(vitals, (at for _, at in found), strict=True)
        return {each.engine: Report(each, at) for each, at in said if each is not None}

    def running(self) -> list[tuple[Info, float]]:
        """Return the jobs that engines run, each with the end of the lease of its engine."""
        with self.answers():
            found: Any = self.redis.zrange(self.running_key, 0, RUNNING - 1, withscores=True)
        infos = self.get_many([raw.decode().partition(":")[2] for raw, _ in found])
        leases = [at for _, at in found]
        return [
            (info, lease)
            for info, lease in zip(infos, leases, strict=True)
            if info is not None and info.state is State.RUNNING
        ]

    # Jobs of all users

    def queue(self, context: str) -> tuple[int, float | None]:
        """Return how many jobs wait for an engine of a context, and since when the first does."""
        with self.answers():
            length: Any = self.redis.zcard(self.waiting_key(context))
        return length, self.waits_since(context)

    def paused(self) -> int:
        """Return how many jobs wait until they are run again."""
        with self.answers():
            length: Any = self.redis.zcard(self.delayed_key)
        return length

    def states(self) -> dict[str, int]:
        """Return how many jobs of all users there are in each state."""
        with self.answers():
            pipeline = self.redis.pipeline(transaction=False)
            for state in State:
                pipeline.zcard(self.state_key(state))
            return dict(zip(map(str, State), pipeline.execute(), strict=True))

    def ended(self, minutes: int) -> list[tuple[int, Ended]]:
        """Return what ended in each of the last minutes, the present one included, oldest first."""
        last = int(self.time() // 60)
        wanted = range(last - minutes + 1, last + 1)
        with self.answers():
            pipeline = self.redis.pipeline(transaction=False)
            for minute in wanted:
                pipeline.hgetall(self.minute_key(minute))
            answers = pipeline.execute()
        return [(minute, _ended(raw)) for minute, raw in zip(wanted, answers, strict=True)]

    def recent(
        self, key: str, before: Place | None, count: int = CHUNK
    ) -> tuple[list[Info], Place | None]:
        """Return the jobs of an index, the newest first, those that are older than a place.

        `key` is `jobs_key`, `state_key` of a state or `all_key` of an owner. Returns up to `count`
        of them, and the place from which to go on, None at the end. Ids of jobs that have expired
        are taken out.
        """
        places = self._places(key, before, count)
        infos = self.get_many([place.id for place in places])
        pairs = list(zip(places, infos, strict=True))
        self._leave(key, [place.id for place, info in pairs if info is None])
        found = [info for info in infos if info is not None]
        return found, places[-1] if len(places) == count else None

    def _places(self, key: str, before: Place | None, count: int) -> list[Place]:
        newest, ties = "+inf", 0
        with self.answers():
            if before is not None:
                newest = repr(before.created)
                ties = int(self.redis.zcount(key, newest, newest))
            found: Any = self.redis.zrevrangebyscore(
                key, newest, "-inf", start=0, num=count + ties, withscores=True
            )
        places = [Place(at, id.decode()) for id, at in found]
        if before is not None:
            places = [each for each in places if each < before]
        return places[:count]

    def _leave(self, key: str, ids: Sequence[str]) -> None:
        if ids:
            with self.answers():
                pipeline = self.redis.pipeline(transaction=False)
                for index in (key, self.jobs_key, *map(self.state_key, State)):
                    pipeline.zrem(index, *ids)
                pipeline.execute()


def _ended(raw: dict[bytes, bytes]) -> Ended:
    """Return what the hash of a minute says."""
    said = {name.decode(): float(value) for name, value in raw.items()}
    return Ended(
        {str(state): int(said[f"{state}:jobs"]) for state in State if f"{state}:jobs" in said},
        ran=sum(said.get(f"{state}:ran", 0.0) for state in State),
        waited=sum(said.get(f"{state}:waited", 0.0) for state in State),
    )
