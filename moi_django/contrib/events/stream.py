"""The stream of events in Redis, as one consumer reads it."""

import logging
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from redis.backoff import NoBackoff
from redis.exceptions import ResponseError
from redis.retry import Retry

from moi_django.contrib.events.registry import EventKind, JobEvent
from moi_django.info_json import info_from_json
from moi_django.store.config import StoreConfig
from moi_django.store.connection import Connection
from moi_django.validation import parse_json

logger = logging.getLogger(__name__)

# Name of who reads in a consumer group: one at a time, so a successor finds what was left. That of
# read_events.lua, too.
READER = "reader"
# Seconds after which a group of which this site knows nothing is dropped.
ABANDONED = 86_400.0


def open_connection(config: StoreConfig) -> Connection:
    """Return a connection for who waits for events.

    That keeps none from the site. And a command is sent once: sent again after its answer got lost,
    it would read what comes after the entries in that.
    """
    connection = Connection(config)
    connection.redis.connection_pool.connection_kwargs["retry"] = Retry(NoBackoff(), 0)
    return connection


class Entry(NamedTuple):
    """An entry of the stream: without an event when it was dropped meanwhile or is none of ours."""

    id: str
    event: JobEvent | None


class EventStream:
    """Where one consumer is in the stream: its consumer group."""

    def __init__(self, connection: Connection, consumer: str) -> None:
        self._connection, self._consumer = connection, consumer
        self._redis: Any = connection.redis  # whose types know no lists of entries
        self._key = connection.keys.events
        # Id of the last entry that was read by anybody for this consumer.
        self._last: Any = "0-0"

    def begin(self, consumers: Iterable[str] = ()) -> None:
        """Make the stream and the places in it of this and other consumers where they are missing.

        What all have dealt with that have a place is dropped, so all that there are need one.
        """
        with self._connection.translated_errors():
            for consumer in {self._consumer, *consumers}:
                try:
                    # From the first entry on: what is there, others have yet to hear of.
                    self._redis.xgroup_create(self._key, consumer, "0", mkstream=True)
                except ResponseError as error:
                    if "BUSYGROUP" not in str(error):
                        raise
                self._redis.xgroup_createconsumer(self._key, consumer, READER)
            for group in self._redis.xinfo_groups(self._key):
                if group["name"] == self._consumer.encode():
                    self._last = group["last-delivered-id"]

    def hold(self, holder: str, seconds: float) -> bool:
        """Be who reads for this consumer for some seconds, with 0 no more; tell whether one is."""
        args = {
            "consumer": self._consumer,
            "holder": holder,
            "milliseconds": round(seconds * 1000),
            **self._connection.queue_args,
        }
        return bool(self._connection.run_script("hold_reader", {"events": self._key}, args))

    def read(self, holder: str, count: int, is_new: bool) -> list[Entry] | None:
        """Return the next entries: new ones, or those read and not done.

        None when another process reads for this consumer.
        """
        args = {
            "consumer": self._consumer,
            "holder": holder,
            "place": ">" if is_new else "0",
            "count": count,
            "prefix": self._connection.keys.prefix,
        }
        found = self._connection.run_script("read_events", {"events": self._key}, args)
        if found and is_new:
            self._last = found[-1][0]
        return None if found is None else [_parse_entry(*entry) for entry in found]

    def wait(self, seconds: float) -> None:
        """Wait for new entries."""
        with self._connection.translated_errors():
            self._redis.xread({self._key: self._last}, count=1, block=max(1, round(seconds * 1000)))

    def acknowledge(self, ids: Sequence[str]) -> int:
        """Note that these were dealt with; return how many entries some consumer has yet to."""
        args = {"consumer": self._consumer, "ids": ids}
        return int(self._connection.run_script("acknowledge", {"events": self._key}, args))

    def drop_abandoned(self, known: set[str]) -> list[str]:
        """Drop the places of consumers that are not known and have not read for a day."""
        dropped = []
        with self._connection.translated_errors():
            for group in self._redis.xinfo_groups(self._key):
                name = group["name"].decode(errors="replace")
                readers = self._redis.xinfo_consumers(self._key, group["name"])
                idle = min((each["idle"] for each in readers), default=0) / 1000
                if name not in known and idle > ABANDONED:
                    self._redis.xgroup_destroy(self._key, group["name"])
                    dropped.append(name)
        return dropped


def _parse_entry(raw_id: bytes, pairs: list[bytes] | None) -> Entry:
    id = raw_id.decode()
    fields = dict(zip((pairs or ())[::2], (pairs or ())[1::2], strict=True))
    try:
        info = info_from_json(fields[b"info"])
        kind = EventKind(fields[b"kind"].decode())
        milliseconds = int(id.partition("-")[0])
        time = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=milliseconds)
        is_omitted = parse_json(fields[b"info"]).get("result_omitted") is True
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        logger.warning(
            "Skipped event %s, dropped before it was read or none of ours: %r", id, error
        )
        return Entry(id, None)
    return Entry(id, None if info.is_group else JobEvent(id, kind, info, time, is_omitted))
