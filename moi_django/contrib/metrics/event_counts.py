"""Counts and histograms of jobs, kept in one hash of Redis by the consumer of events.

So they are the same whichever process is asked for them, and outlive all of these. An event that
is told twice is counted once: the hash keeps the last event, too, and later ones are greater.

A field is the name of what is counted, words that tell such counts apart, and the context, joined
by colons: `submitted:CONTEXT`, `ended:STATE:CONTEXT`, `wait:BUCKET:CONTEXT`.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from moi_django.contrib.events import EventKind, JobEvent
from moi_django.contrib.health.heartbeat import LIFETIME
from moi_django.models import timestamp
from moi_django.site_store import get_store
from moi_django.validation import number_of, text_of

# Upper ends of the buckets of seconds; above them is one more.
BUCKETS = (0.1, 0.5, 1, 5, 10, 30, 60, 300, 600, 1_800, 3_600, 10_800, 43_200, 86_400)
INFINITE, SUM, LAST = "+Inf", "sum", "last"
BUCKET_NAMES = (*(str(float(end)) for end in BUCKETS), INFINITE)


def count_events(events: Sequence[JobEvent]) -> None:
    """Count what has become of jobs. Raises StoreUnavailable."""
    connection = get_store().connection
    key, client = connection.keys.metrics, connection.redis

    def count(pipeline: Any) -> None:
        last = _position(text_of(pipeline.hget(key, LAST) or b""))
        new = [event for event in events if _position(event.id) > last]
        pipeline.multi()
        if not new:
            return
        counts = Counter[str]()
        for event in new:
            counts.update(dict(_counts_of(event)))
        for field, number in counts.items():
            pipeline.hincrbyfloat(key, field, number)
        pipeline.hset(key, LAST, new[-1].id)
        pipeline.expire(key, LIFETIME)

    with connection.translated_errors():
        client.transaction(count, key)


def read_counts() -> dict[str, float]:
    """Return the fields and their numbers."""
    connection = get_store().connection
    with connection.translated_errors():
        found: Any = connection.redis.hgetall(connection.keys.metrics)
    names = {text_of(field): value for field, value in found.items()}
    return {name: number_of(value) for name, value in names.items() if ":" in name}


def read_backlog() -> dict[str, int]:
    """Return how many events each consumer has yet to deal with, where Redis knows."""
    connection = get_store().connection
    client: Any = connection.redis
    with connection.translated_errors():
        if not client.exists(connection.keys.events):
            return {}
        groups = client.xinfo_groups(connection.keys.events)
    return {
        text_of(group["name"]): group["lag"] + group["pending"]
        for group in groups
        if group.get("lag") is not None
    }


def histogram(counts: dict[str, float], head: str, context: str) -> tuple[list[Any], float]:
    """Return for each bucket how many are in it and those below, and the sum of all seconds."""
    below, buckets = 0.0, []
    for name in BUCKET_NAMES:
        below += counts.get(f"{head}:{name}:{context}", 0.0)
        buckets.append([name, below])
    return buckets, counts.get(f"{head}:{SUM}:{context}", 0.0)


def contexts_in(counts: Iterable[str]) -> set[str]:
    """Return the contexts of which something was counted."""
    return {name.split(":", 1)[1] for name in counts if name.startswith("submitted:")}


def _counts_of(event: JobEvent) -> Iterator[tuple[str, float]]:
    info, context = event.info, event.info.context or ""
    if event.kind is EventKind.SUBMITTED:
        yield f"submitted:{context}", 1
    elif event.kind is EventKind.STARTED:
        yield f"started:{context}", 1
        if info.attempt == 1:
            # One that was to begin later has not waited before.
            since = max(timestamp(info.date_created), timestamp(info.run_after))
            yield from _in_bucket("wait", timestamp(info.date_start) - since, context)
    elif event.kind is EventKind.FINISHED:
        yield f"ended:{info.state}:{context}", 1
        if (ran := info.ran_seconds(event.time.timestamp())) is not None:
            yield from _in_bucket(f"run:{info.state}", ran, context)


def _in_bucket(head: str, seconds: float, context: str) -> Iterator[tuple[str, float]]:
    seconds = max(0.0, seconds)
    yield f"{head}:{BUCKET_NAMES[bisect_left(BUCKETS, seconds)]}:{context}", 1
    yield f"{head}:{SUM}:{context}", seconds


def _position(id: str) -> tuple[int, ...]:
    """Return what two ids of a stream are compared by; of what is none, that before all."""
    parts = id.split("-")
    is_id = len(parts) == 2 and all(each.isascii() and each.isdecimal() for each in parts)
    return tuple(map(int, parts)) if is_id else (0, 0)
