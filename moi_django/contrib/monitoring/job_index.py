"""The jobs of all users, of one owner or in one state, from the newest on."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Self

from moi_django.models import Info, State, timestamp
from moi_django.store.connection import Connection
from moi_django.store.job_records import CHUNK_SIZE, JobRecords
from moi_django.store.keys import member
from moi_django.validation import text_of


@dataclass(frozen=True, slots=True, order=True)
class IndexPosition:
    """Where a job is in an index, from the newest on."""

    # Seconds since 1970.
    created: float
    id: str

    def __str__(self) -> str:
        return f"{self.created!r}:{self.id}"

    @classmethod
    def of_job(cls, info: Info) -> Self:
        """Return where a job is."""
        return cls(timestamp(info.date_created), info.id)

    @classmethod
    def from_text(cls, text: str) -> Self | None:
        """Read what `str` has written; None when it is none."""
        created, _, id = text.partition(":")
        try:
            position = cls(float(created), id)
        except ValueError:
            return None
        return position if id and isfinite(position.created) else None


class JobIndex:
    """The zsets of jobs by when they were created."""

    def __init__(self, connection: Connection, jobs: JobRecords) -> None:
        self._connection, self._keys, self._jobs = connection, connection.keys, jobs
        self._redis = connection.redis

    def newest(
        self, key: str | Sequence[str], before: IndexPosition | None, count: int = CHUNK_SIZE
    ) -> tuple[list[Info], IndexPosition | None]:
        """Return the jobs of an index, the newest first, those that are older than a position.

        `key` is `keys.jobs`, `keys.jobs_in_state` of a state or `keys.owner_jobs` of an owner; of
        several indices all jobs are returned. Returns up to `count` of them, and the position from
        which to go on, None at the end. Ids of jobs that have expired are taken out.
        """
        indices = [key] if isinstance(key, str) else key
        found_positions = {
            each for index in indices for each in self._positions(index, before, count)
        }
        positions = sorted(found_positions, reverse=True)[:count]
        infos = self._jobs.get_many([position.id for position in positions])
        pairs = list(zip(positions, infos, strict=True))
        self._drop(indices, [position.id for position, info in pairs if info is None])
        found = [info for info in infos if info is not None]
        return found, positions[-1] if len(positions) == count else None

    def _positions(self, key: str, before: IndexPosition | None, count: int) -> list[IndexPosition]:
        newest, ties = "+inf", 0
        with self._connection.translated_errors():
            if before is not None:
                newest = repr(before.created)
                ties = int(self._redis.zcount(key, newest, newest))
            found: Any = self._redis.zrevrangebyscore(
                key, newest, "-inf", start=0, num=count + ties, withscores=True
            )
        positions = [IndexPosition(at, text_of(id)) for id, at in found]
        if before is not None:
            positions = [each for each in positions if each < before]
        return positions[:count]

    def among(self, key: str, infos: Sequence[Info]) -> list[Info]:
        """Return those of some jobs whose attempt is in a zset: `keys.delayed`, `keys.blocked`."""
        if not infos:
            return []
        with self._connection.translated_errors():
            scores: Any = self._redis.zmscore(key, [member(info) for info in infos])
        return [info for info, score in zip(infos, scores, strict=True) if score is not None]

    def _drop(self, indices: Sequence[str], ids: Sequence[str]) -> None:
        if ids:
            with self._connection.translated_errors():
                pipeline = self._redis.pipeline(transaction=False)
                for index in (*indices, self._keys.jobs, *map(self._keys.jobs_in_state, State)):
                    pipeline.zrem(index, *ids)
                pipeline.execute()
