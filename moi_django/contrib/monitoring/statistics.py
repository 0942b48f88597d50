"""How many jobs of all users are in which state, and what ended in the last hours."""

from dataclasses import dataclass, field

from moi_django.models import MAX_AMOUNT, State
from moi_django.store.connection import Connection
from moi_django.validation import number_of, text_of


@dataclass(slots=True)
class Completed:
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

    def add(self, other: "Completed") -> None:
        """Take in those of another time."""
        for state, count in other.jobs.items():
            self.jobs[state] = self.jobs.get(state, 0) + count
        self.ran += other.ran
        self.waited += other.waited


class Statistics:
    """Counts of the jobs of all users."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._keys = connection, connection.keys
        self._redis = connection.redis

    def count_by_state(self) -> dict[str, int]:
        """Return how many jobs of all users there are in each state."""
        with self._connection.translated_errors():
            pipeline = self._redis.pipeline(transaction=False)
            for state in State:
                pipeline.zcard(self._keys.jobs_in_state(state))
            return dict(zip(map(str, State), pipeline.execute(), strict=True))

    def completed_by_minute(self, minutes: int) -> list[tuple[int, Completed]]:
        """Return what ended in each of the last minutes, the present one included, oldest first."""
        last = int(self._connection.server_time() // 60)
        wanted = range(last - minutes + 1, last + 1)
        with self._connection.translated_errors():
            pipeline = self._redis.pipeline(transaction=False)
            for minute in wanted:
                pipeline.hgetall(self._keys.ended_in_minute(minute))
            answers = pipeline.execute()
        return [(minute, _parse_minute(raw)) for minute, raw in zip(wanted, answers, strict=True)]


def _parse_minute(raw: dict[bytes, bytes]) -> Completed:
    """Return what the hash of a minute says."""
    said = {text_of(name): min(MAX_AMOUNT, number_of(value)) for name, value in raw.items()}
    return Completed(
        {str(state): int(said[f"{state}:jobs"]) for state in State if f"{state}:jobs" in said},
        ran=sum(said.get(f"{state}:ran", 0.0) for state in State),
        waited=sum(said.get(f"{state}:waited", 0.0) for state in State),
    )
