"""Read events for the consumers of this process, each in a thread, while no other process does.

Who reads for a consumer holds a lease. A process that dies leaves it within LEASE seconds to
another one, which first deals with what that had read and not acknowledged.
"""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import close_old_connections, connections

from moi_django.conf import conf
from moi_django.contrib.events.registry import Consumer, JobEvent, consumers
from moi_django.contrib.events.stream import Entry, EventStream, open_connection
from moi_django.exceptions import MoiError
from moi_django.site_store import get_store
from moi_django.store.connection import Connection
from moi_django.store.scripts import MAX_EVENTS

logger = logging.getLogger(__name__)

# Seconds for which a lease is held, and between two looks at all leases.
LEASE, LOOK_INTERVAL = 10.0, 2.5
# Seconds for which is waited for new events, and for threads at the end.
WAIT, END_TIMEOUT = 1.0, 10.0
# Seconds before a handler is called again that has raised: the first, and the longest pause.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0
# Seconds between two searches for consumers that are no more.
REVIEW_INTERVAL = 3600.0


class HandlerFailed(Exception):
    """A handler has raised an error of ours, which is not one of the reader."""


class ConsumerReader:
    """Hands events to one consumer."""

    def __init__(self, consumer: Consumer, connection: Connection, holder: str) -> None:
        self.stream = EventStream(connection, consumer.name)
        self._consumer, self._holder = consumer, holder
        # By the clock of this process.
        self._held_until = 0.0
        self._has_begun, self._has_pending, self._has_failed = False, True, False
        self._pause = self._resumes_at = self._ticks_at = 0.0
        self._told = ""
        self._is_full = False

    def hold(self) -> bool:
        """Try to be who reads for the consumer; tell whether one is. Raises StoreUnavailable."""
        asked = time.monotonic()
        if not self.stream.hold(self._holder, LEASE):
            self._held_until = 0.0
            return False
        self._held_until = asked + LEASE
        return True

    def release(self) -> None:
        """Leave the consumer to others."""
        self._held_until = 0.0
        self.stream.hold(self._holder, 0)

    @property
    def is_holding(self) -> bool:
        """True while no other process reads for the consumer."""
        return time.monotonic() < self._held_until

    def run_until(self, stop: threading.Event) -> None:
        """Hand over events until told to stop, or until another process may do so."""
        while self.is_holding and not stop.is_set():
            close_old_connections()  # the database may have been away since the last events
            left = self._resumes_at - time.monotonic()
            if left > 0:
                stop.wait(min(left, WAIT))
            else:
                self.deliver(WAIT)
            if time.monotonic() >= self._ticks_at:
                self.tick()
        connections.close_all()

    def tick(self) -> None:
        """Let the consumer do what is to be done now besides; what it raises is logged."""
        if self._consumer.tick is None:
            return
        self._ticks_at = time.monotonic() + WAIT
        try:
            self._consumer.tick()
        except Exception:
            self._ticks_at = time.monotonic() + LONGEST_PAUSE
            logger.exception("%s cannot do what is to be done now", self._consumer.name)

    def deliver(self, wait: float = 0.0) -> int:
        """Hand over the next events, for which it may wait; return how many were dealt with.

        What goes wrong is logged, and tried again by the next call.
        """
        try:
            count = self._deliver(wait)
        except MoiError as error:
            self._has_begun, self._has_pending = False, True
            self._put_off(LONGEST_PAUSE / 10)
            if str(error) != self._told:
                self._told = str(error)
                logger.warning("%s gets no events: %s", self._consumer.name, error)
            return 0
        except Exception:
            self._has_pending = self._has_failed = True
            self._put_off(LONGEST_PAUSE)
            logger.exception(
                "%s cannot deal with events, trying again in %s s",
                *(self._consumer.name, self._pause),
            )
            return 0
        self._told, self._pause = "", 0.0
        return count

    def _put_off(self, longest: float) -> None:
        self._pause = min(longest, self._pause * 2 or FIRST_PAUSE)
        self._resumes_at = time.monotonic() + self._pause

    def _deliver(self, wait: float) -> int:
        if not self._has_begun:
            self.stream.begin(consumer.name for consumer in consumers())
            self._has_begun = True
        entries = self._read(wait)
        # A process that was frozen leaves what it has read to its successor.
        if not entries or not self.is_holding:
            self._has_pending = self._has_pending or bool(entries)
            return 0
        if events := [entry.event for entry in entries if entry.event is not None]:
            self._call_handler(events)
        self._warn_if_full(self.stream.acknowledge([entry.id for entry in entries]))
        return len(entries)

    def _read(self, wait: float) -> list[Entry]:
        """Return what was read and not dealt with; when that is nothing any more, new entries."""
        if self._has_pending:
            # One by one after a failure: all those are dealt with before the one that cannot be.
            count = 1 if self._has_failed else self._consumer.batch
            if entries := self._entries(count, is_new=False):
                return entries
            self._has_pending = self._has_failed = False
        entries = self._entries(self._consumer.batch, is_new=True)
        if not entries and wait and self.is_holding:
            self.stream.wait(wait)
        return entries

    def _entries(self, count: int, is_new: bool) -> list[Entry]:
        found = self.stream.read(self._holder, count, is_new)
        if found is None:
            self._held_until = 0.0
            self._has_pending = True
        return found or []

    def _call_handler(self, events: list[JobEvent]) -> None:
        try:
            self._consumer.handler(events)
        except MoiError as error:
            raise HandlerFailed(str(error)) from error

    def _warn_if_full(self, left: int) -> None:
        is_full = left >= MAX_EVENTS
        if is_full and not self._is_full:
            logger.error(
                "More than %s events have yet to be dealt with: the oldest are dropped. "
                "A consumer of events fails, or is too slow.",
                MAX_EVENTS,
            )
        self._is_full = is_full


class EventReaders:
    """Reads for all consumers of this process for which no other process does."""

    def __init__(self) -> None:
        self._holder = str(uuid.uuid4())
        self._stop = threading.Event()
        self._connection: Connection | None = None
        self._readers: dict[str, ConsumerReader] = {}
        self._threads: dict[str, threading.Thread] = {}
        self._reviews_at = 0.0
        self._told = ""
        self._keeper = threading.Thread(target=self._keep_leases, name="moi-events", daemon=True)

    def start(self) -> None:
        """Begin, without waiting for anything."""
        self._keeper.start()

    def stop(self) -> None:
        """End soon."""
        self._stop.set()

    def join(self) -> None:
        """Wait for the end."""
        self._keeper.join()

    def _keep_leases(self) -> None:
        """Hold leases and let a thread read for each, until told to stop."""
        while not self._stop.is_set():
            try:
                self._look_after_all()
                self._told = ""
            except MoiError as error:
                if str(error) != self._told:
                    self._told = str(error)
                    logger.warning("Events wait: %s", error)
            except Exception:
                logger.exception("Events wait")
            self._stop.wait(LOOK_INTERVAL)
        self._end()

    def _look_after_all(self) -> None:
        store = get_store()
        if self._connection is None or self._connection.config != store.config:
            self._connection = open_connection(store.config)
            self._readers.clear()
        for consumer in consumers():
            if consumer.name not in self._readers:
                reader = ConsumerReader(consumer, self._connection, self._holder)
                self._readers[consumer.name] = reader
            self._look_after(consumer.name, self._readers[consumer.name])

    def _look_after(self, name: str, reader: ConsumerReader) -> None:
        if not reader.hold():
            return
        thread = self._threads.get(name)
        if thread is None or not thread.is_alive():
            target, title = reader.run_until, f"moi-events-{name}"
            thread = threading.Thread(target=target, args=[self._stop], name=title, daemon=True)
            thread.start()
            self._threads[name] = thread
        if time.monotonic() >= self._reviews_at:
            self._reviews_at = time.monotonic() + REVIEW_INTERVAL
            known = {consumer.name for consumer in consumers()}
            reader.stream.begin(known)
            for dropped in reader.stream.drop_abandoned(known):
                logger.warning("Nobody reads events for %s any more: its place is dropped", dropped)

    def _end(self) -> None:
        deadline = time.monotonic() + END_TIMEOUT
        for thread in self._threads.values():
            thread.join(max(0.0, deadline - time.monotonic()))
        for name, thread in self._threads.items():
            if not thread.is_alive() and self._readers[name].is_holding:
                try:
                    self._readers[name].release()
                except MoiError as error:
                    logger.info("%s is left to others in a while: %s", name, error)
        if self._connection is not None:
            self._connection.disconnect()


def start_readers() -> Callable[[], None]:
    """Read events in threads, if somebody hears of them; return what lets that end soon."""
    if not consumers() or conf.is_isolated:
        return lambda: None
    readers = EventReaders()
    readers.start()
    return readers.stop


@contextmanager
def running_readers() -> Iterator[None]:
    """Read events in threads as long as the block runs, if somebody hears of them."""
    if not consumers():
        yield
        return
    readers = EventReaders()
    readers.start()
    try:
        yield
    finally:
        readers.stop()
        readers.join()


def deliver_all() -> int:
    """Hand over what there is now, for which no other process reads; return how many events.

    What a handler could not deal with is left to the next one who reads.
    """
    connection, holder, count = open_connection(get_store().config), str(uuid.uuid4()), 0
    for consumer in consumers():
        reader = ConsumerReader(consumer, connection, holder)
        if not reader.hold():
            continue
        try:
            while reader.hold() and (done := reader.deliver()):
                count += done
            reader.tick()
        finally:
            reader.release()
    connection.disconnect()
    return count
