"""What jobs leave in Redis besides their results: how those look, and which files there are."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from moi_django.store.pager import Pager


class Leavings(Pager):
    """The leavings of jobs in one Redis, under one key prefix; they live as long as the jobs."""

    def keep_display(self, id: str, forms: Mapping[str, str]) -> None:
        """Keep how the result of a job looks: MIME type -> data."""
        with self.answers():
            self.redis.set(self.display_key(id), json.dumps(forms), ex=self.expire)

    def display(self, id: str) -> dict[str, str]:
        """Return how the result of a job looks."""
        with self.answers():
            raw: Any = self.redis.get(self.display_key(id))
        return json.loads(raw) if raw else {}

    def keep_file(self, id: str, name: str, described: str) -> None:
        """Note a file of a job."""
        with self.answers():
            pipeline = self.redis.pipeline()
            pipeline.hset(self.files_key(id), name, described)
            pipeline.expire(self.files_key(id), self.expire)
            pipeline.sadd(self.with_files_key, id)
            pipeline.expire(self.with_files_key, self.expire)
            pipeline.execute()

    def files(self, id: str) -> dict[str, str]:
        """Return the files of a job, by name, as they were noted."""
        with self.answers():
            found: Any = self.redis.hgetall(self.files_key(id))
        return {name.decode(): described.decode() for name, described in found.items()}

    def outlived_by_files(self) -> list[str]:
        """Return the ids of jobs that are gone while the files which they attached are not."""
        with self.answers():
            self.redis.expire(self.with_files_key, self.expire)
            ids: Any = self.redis.smembers(self.with_files_key)
        return self.unknown([id.decode() for id in ids])

    def unknown(self, ids: Sequence[str]) -> list[str]:
        """Return those of which there is no job."""
        with self.answers():
            pipeline = self.redis.pipeline(transaction=False)
            for id in ids:
                pipeline.exists(self.key(id))
            there = pipeline.execute()
        return [id for id, is_there in zip(ids, there, strict=True) if not is_there]

    def forget_files(self, id: str) -> None:
        """Note that the files of a job are discarded."""
        with self.answers():
            self.redis.srem(self.with_files_key, id)
