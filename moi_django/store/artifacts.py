"""Keep in Redis how results look (displays), where jobs were, and which files they attached."""

import json
import logging
from collections.abc import Mapping
from typing import Any

from moi_django.store.connection import Connection
from moi_django.store.job_records import JobRecords
from moi_django.validation import is_uuid, parse_json, text_of

logger = logging.getLogger(__name__)


class Artifacts:
    """Displays, checkpoints and files of jobs; they live as long as the jobs."""

    def __init__(self, connection: Connection, jobs: JobRecords) -> None:
        self._connection, self._keys, self._jobs = connection, connection.keys, jobs
        self._redis, self._expire = connection.redis, connection.config.expire

    def save_display(self, id: str, forms: Mapping[str, str]) -> None:
        """Keep how the result of a job looks: MIME type -> data."""
        with self._connection.translated_errors():
            self._redis.set(self._keys.display(id), json.dumps(forms), ex=self._expire)

    def load_display(self, id: str) -> dict[str, str]:
        """Return how the result of a job looks."""
        with self._connection.translated_errors():
            raw: Any = self._redis.get(self._keys.display(id))
        try:
            forms = parse_json(raw or b"{}")
        except ValueError:
            return {}
        is_ours = isinstance(forms, dict) and all(isinstance(form, str) for form in forms.values())
        return forms if is_ours else {}

    def save_checkpoint(self, id: str, attempt: int, json: str) -> None:
        """Keep where an attempt leaves off, unless the job has gone on without it."""
        keys = {"info": self._keys.info(id), "checkpoint": self._keys.checkpoint(id)}
        args = {"attempt": attempt, "json": json, "lifetime": self._expire}
        self._connection.run_script("keep_checkpoint", keys, args)

    def delete_all(self, id: str) -> None:
        """Drop what there is of a job that is gone."""
        with self._connection.translated_errors():
            self._redis.delete(*self._keys.artifacts(id).values())

    def save_file(self, id: str, name: str, description: str) -> None:
        """Note a file of a job."""
        with self._connection.translated_errors():
            pipeline = self._redis.pipeline()
            pipeline.hset(self._keys.files(id), name, description)
            pipeline.expire(self._keys.files(id), self._expire)
            pipeline.sadd(self._keys.with_files, id)
            pipeline.expire(self._keys.with_files, self._expire)
            pipeline.execute()

    def load_files(self, id: str) -> dict[str, str]:
        """Return the files of a job, by name, as they were noted."""
        with self._connection.translated_errors():
            found: Any = self._redis.hgetall(self._keys.files(id))
        return {text_of(name): text_of(described) for name, described in found.items()}

    def gone_jobs_with_files(self) -> list[str]:
        """Return the ids of jobs that are gone while the files which they attached are not."""
        with self._connection.translated_errors():
            self._redis.expire(self._keys.with_files, self._expire)
            found: Any = self._redis.smembers(self._keys.with_files)
        ids = set(map(text_of, found))
        # An id names a directory: what is none of ours may name any.
        for foreign in [id for id in ids if not is_uuid(id)]:
            logger.warning("%r is no job that can have files", foreign)
            self.forget_files(foreign)
            ids.discard(foreign)
        return self._jobs.missing(sorted(ids))

    def forget_files(self, id: str) -> None:
        """Note that the files of a job are deleted."""
        with self._connection.translated_errors():
            self._redis.srem(self._keys.with_files, id)
