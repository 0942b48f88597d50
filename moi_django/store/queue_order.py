"""In which order the jobs of a queue will begin, and what holds those that cannot."""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Any

from moi_django.options import MAX_PRIORITY
from moi_django.store.connection import Connection
from moi_django.store.queue import QueuedAttempt
from moi_django.store.scripts import USED_GUESS
from moi_django.validation import number_of, text_of

# How many waiting jobs of a queue have a position: those that will begin next.
POSITIONS = 10_000
# Below a level are places, or milliseconds; as in queue.lua.
LEVEL = 2**44


class Hold(StrEnum):
    """Why a waiting job cannot begin, however many engines are free."""

    PAUSED = "paused"
    # As many jobs of its owner run as are allowed, or as many that need the same limit.
    OWNER = "owner"
    LIMIT = "limit"


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a job stands in its queue."""

    # 1 for the next one; None when it is held, or so many come first that nobody has counted.
    position: int | None = None
    # Seconds after which it will probably begin; None when nobody knows.
    starts_in: float | None = None
    hold: Hold | None = None


@dataclass(slots=True)
class _Lane:
    owner: str
    hold: str
    # (id, level, place) of those that wait in it, the first one first.
    waiting: list[tuple[str, int, int]]


class QueueOrders:
    """Looks how the queues of one store stand."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._keys = connection, connection.keys

    def standings(self, queue: str) -> dict[str, Standing]:
        """Return by id how the waiting jobs of a queue stand, as if all took as long."""
        args = {
            "queue": queue,
            "count": POSITIONS,
            "prefix": self._keys.prefix,
            "lifetime": self._connection.config.expire,
        }
        fair, raw_lanes = self._connection.run_script("lanes", {}, args)
        lanes = [_parse_lane(raw) for raw in raw_lanes]
        found = {
            id: Standing(hold=Hold(lane.hold))
            for lane in lanes
            if lane.hold
            for id, _, _ in lane.waiting
        }
        used = {text_of(raw[0]): number_of(raw[2]) for raw in raw_lanes}
        seconds, engines = self._pace(queue)
        cost = seconds * 1000 if seconds else float(USED_GUESS)
        order = _in_order([lane for lane in lanes if not lane.hold], used, cost, fair != b"0")
        for position, id in enumerate(islice(order, POSITIONS), 1):
            starts_in = position * seconds / engines if seconds and engines else None
            found[id] = Standing(position, starts_in)
        return found

    def holds(self, attempts: Sequence[QueuedAttempt]) -> list[Hold | None]:
        """Return why each of some waiting attempts cannot begin; None if it can."""
        args = {
            "prefix": self._keys.prefix,
            "lifetime": self._connection.config.expire,
            "members": [attempt.member for attempt in attempts],
        }
        found = self._connection.run_script("holds", {}, args)
        return [Hold(text_of(hold)) if hold else None for hold in found]

    def _pace(self, queue: str) -> tuple[float | None, int]:
        """Return how many seconds jobs took lately, by median, and how many engines there are."""
        context = queue.rpartition(":")[0]
        with self._connection.translated_errors():
            raws: Any = self._connection.redis.lrange(self._keys.durations(context), 0, -1)
            workers: Any = self._connection.redis.zrange(self._keys.workers(queue), 0, -1)
        times = sorted(map(number_of, raws))
        engines = [worker for worker in workers if not worker.startswith(b"call:")]
        return times[len(times) // 2] if times else None, len(engines)


def _parse_lane(raw: list[Any]) -> _Lane:
    members, scores = raw[3][::2], raw[3][1::2]
    pairs = [divmod(int(float(score)), LEVEL) for score in scores]
    ids = [QueuedAttempt.parse(member).id for member in members]
    waiting = [(id, *pair) for id, pair in zip(ids, pairs, strict=True)]
    return _Lane(text_of(raw[0]), text_of(raw[1]), waiting)


def _in_order(
    lanes: list[_Lane], used: dict[str, float], cost: float, is_fair: bool
) -> Iterator[str]:
    """Yield the ids in the order in which they will begin; `used` is counted on."""

    def turn(lane: _Lane) -> tuple[int, float, int]:
        _, level, place = lane.waiting[-1]
        # What operators prefer comes before all priorities and in no turns.
        is_in_turns = is_fair and level >= -MAX_PRIORITY
        return level, used[lane.owner] if is_in_turns else place, place

    for lane in lanes:
        lane.waiting.reverse()
    heap = [(turn(lane), number) for number, lane in enumerate(lanes) if lane.waiting]
    heapq.heapify(heap)
    while heap:
        seen, number = heapq.heappop(heap)
        lane = lanes[number]
        if seen == turn(lane):
            yield lane.waiting.pop()[0]
            used[lane.owner] += cost
        if lane.waiting:
            heapq.heappush(heap, (turn(lane), number))
