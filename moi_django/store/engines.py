"""What engines say of themselves while they have jobs, and how they are told to look at them."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Self

from moi_django.models import MAX_AMOUNT
from moi_django.store.connection import Connection
from moi_django.validation import parse_json, text_of

# Seconds for which is kept what an engine has said of itself.
REPORT_LIFETIME = 86_400


@dataclass(frozen=True, slots=True)
class EngineMetrics:
    """What an engine has said of itself."""

    # Id that ipyparallel gave to it.
    engine: str
    # That of its latest job; None when it was submitted without one.
    context: str | None = None
    host: str = ""
    pid: int = 0
    python: str = ""
    # Per cent of one CPU that its process took, over half a second or more.
    cpu: float | None = None
    # Bytes of memory that its process takes.
    memory: int | None = None
    # Processes of its host that want a CPU, on average of a minute, and the CPUs there are.
    load: float | None = None
    cpus: int | None = None
    # Digest of the code that it has loaded for jobs.
    code: str | None = None
    # Why it takes no job, if it found that it cannot run any.
    refusal: str | None = None

    def to_json(self) -> str:
        """Return it as JSON."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, raw: bytes | None) -> Self | None:
        """Return what was written, or None when it is none of ours."""
        try:
            data = parse_json(raw or b"")
            known = [name for name in data.keys() & _KINDS.keys() if _has_kind(data, name)]
            return cls(**{name: data[name] for name in known})
        except (ValueError, TypeError, AttributeError):
            return None


@dataclass(frozen=True, slots=True)
class EngineReport:
    """What an engine has said of itself, and when, by the clock of Redis."""

    metrics: EngineMetrics
    at: float


_KINDS: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("engine", "context", "host", "python", "code", "refusal"), str),
    **dict.fromkeys(("pid", "memory", "cpus"), int),
    **dict.fromkeys(("cpu", "load"), (int, float)),
}


def _has_kind(data: dict[str, Any], name: str) -> bool:
    """Tell whether a field is of the kind that it is to be; what is not counts as left out."""
    value = data[name]
    is_readable = not isinstance(value, (int, float)) or 0 <= value <= MAX_AMOUNT
    return isinstance(value, _KINDS[name]) and is_readable


class EngineRegistry:
    """The engines that have had jobs, and the channels on which they are told to look at theirs."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._keys = connection, connection.keys
        self._redis = connection.redis

    def report(self, metrics: EngineMetrics) -> None:
        """Keep what an engine says of itself, and tell who watches all engines."""
        now = self._connection.server_time()
        with self._connection.translated_errors():
            pipeline = self._redis.pipeline(transaction=False)
            key = self._keys.engine(metrics.engine)
            pipeline.set(key, metrics.to_json(), ex=REPORT_LIFETIME)
            pipeline.zadd(self._keys.engines, {metrics.engine: now})
            pipeline.zremrangebyscore(self._keys.engines, "-inf", now - REPORT_LIFETIME)
            pipeline.expire(self._keys.engines, REPORT_LIFETIME)
            pipeline.publish(self._keys.jobs, "")
            pipeline.execute()

    def reports(self) -> dict[str, EngineReport]:
        """Return the latest of what each engine has said of itself, by its id."""
        with self._connection.translated_errors():
            found: Any = self._redis.zrange(self._keys.engines, 0, -1, withscores=True)
            keys = [self._keys.engine(text_of(engine)) for engine, _ in found]
            raws: Any = self._redis.mget(keys) if keys else []
        metrics = [EngineMetrics.from_json(raw) for raw in raws]
        pairs = zip(metrics, (at for _, at in found), strict=True)
        return {each.engine: EngineReport(each, at) for each, at in pairs if each is not None}

    def refusals(self, seconds: float = 30.0) -> dict[str, str]:
        """Return the engines that have said lately that they cannot run jobs, and why."""
        since = self._connection.server_time() - seconds
        recent = {id: each.metrics for id, each in self.reports().items() if each.at > since}
        return {id: metrics.refusal for id, metrics in recent.items() if metrics.refusal}

    def notify(self, engine: str | None) -> None:
        """Tell an engine to look whether its job is still wanted; it looks by itself in a while."""
        if engine:
            with self._connection.translated_errors():
                self._redis.publish(self._keys.engine(engine), "look")

    @contextmanager
    def control_channel(self, engine: str) -> Iterator[Callable[[float], bool]]:
        """Subscribe to what an engine is told.

        The function given waits seconds for the next word, and tells whether there was one.
        """
        with self._connection.subscribe(self._keys.engine(engine)) as pubsub:

            def wait(seconds: float) -> bool:
                said = pubsub.get_message(timeout=seconds)
                return said is not None and said["type"] == "message"

            yield wait
