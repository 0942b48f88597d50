"""In which order the jobs of a queue will begin, and which of them cannot for now."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from moi_django.options import MAX_PRIORITY
from moi_django.store import Store
from moi_django.store.policy import drained
from moi_django.store.queue import CALL, Hold, QueuedAttempt, split_queue
from moi_django.store.scripts import USED_GUESS
from moi_django.validation import number_of, text_of

# How many waiting jobs of a queue have a position: those that will begin next.
POSITIONS = 10_000
# Below a level are places, or milliseconds; as in queue.lua.
LEVEL = 2**44


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
    limit: str
    hold: str
    # (id, level, place) of those that wait in it, the first one last.
    waiting: list[tuple[str, int, int]]


@dataclass(slots=True)
class _Order:
    """What decides which of some lanes is next, counted on as jobs begin."""

    is_fair: bool
    # Milliseconds that one job takes, and that each owner has used.
    cost: float
    used: dict[str, float] = field(default_factory=dict)
    # How many more may run, by limit and by owner; fewer than 0 for any number.
    rooms: dict[tuple[Hold, str], int] = field(default_factory=dict)

    def turn(self, lane: _Lane) -> tuple[int, float, int]:
        """Return what is compared of lanes."""
        _, level, place = lane.waiting[-1]
        # What operators prefer comes before all priorities and in no turns.
        is_in_turns = self.is_fair and level >= -MAX_PRIORITY
        return level, self.used[lane.owner] if is_in_turns else place, place

    def begin(self, lane: _Lane) -> Hold | None:
        """Let a job of a lane begin, or return why it cannot."""
        slots = ((Hold.LIMIT, lane.limit), (Hold.OWNER, lane.owner))
        full = [hold for hold, name in slots if self.rooms[hold, name] == 0]
        if full:
            return full[0]
        for slot in slots:
            self.rooms[slot] -= 1
        self.used[lane.owner] += self.cost
        return None


class QueueOrders:
    """Looks how the queues of one store stand."""

    def __init__(self, store: Store) -> None:
        self._connection, self._keys = store.connection, store.keys
        self._queue, self._policy, self._jobs = store.queue, store.policy, store.jobs

    def standings(self, queue: str) -> dict[str, Standing]:
        """Return by id how the waiting jobs of a queue stand, as if all took as long."""
        args = {"queue": queue, "count": POSITIONS, **self._connection.queue_args}
        keys = {"durations": self._keys.durations(split_queue(queue)[0])}
        fair, raw_lanes, raw_times = self._connection.run_script("lanes", keys, args)
        times = sorted(map(number_of, raw_times))
        seconds = times[len(times) // 2] if times else None
        order = _Order(fair != b"0", seconds * 1000 if seconds else USED_GUESS)
        lanes = [_parse_lane(raw, order) for raw in raw_lanes]
        free_at = self._free_times(queue, seconds) if seconds else []
        found, number = dict[str, Standing](), 0
        for id, hold in islice(_in_order(lanes, order), POSITIONS):
            if hold:
                found[id] = Standing(hold=hold)
                continue
            number += 1
            found[id] = Standing(number, max(1.0, free_at[0]) if free_at else None)
            if seconds and free_at:
                heapq.heapreplace(free_at, free_at[0] + seconds)
        return found

    def _free_times(self, queue: str, seconds: float) -> list[float]:
        """Return after how many seconds the engines at a queue are free, as a heap.

        One whose job has taken longer than the median is not counted on, nor one that is drained.
        """
        present = self._connection.server_time()
        running = self._jobs.get_many([attempt.id for attempt in self._queue.running()])
        ran = {info.engine: info.ran_seconds(present) or 0.0 for info in running if info}
        policy = self._policy.read()
        times = [
            seconds - ran[engine] if engine in ran else 0.0
            for engine in self._queue.workers(queue)
            if not engine.startswith(CALL) and drained(engine) not in policy
        ]
        return sorted(time for time in times if time >= 0)


def _parse_lane(raw: list[Any], order: _Order) -> _Lane:
    """Return a lane, and note what decides of its turn."""
    owner, limit, hold = map(text_of, raw[:3])
    order.used[owner] = number_of(raw[3])
    order.rooms |= {(Hold.LIMIT, limit): int(raw[4]), (Hold.OWNER, owner): int(raw[5])}
    members, scores = raw[6][::2], raw[6][1::2]
    pairs = [divmod(int(float(score)), LEVEL) for score in scores]
    ids = [QueuedAttempt.parse(member).id for member in members]
    waiting = [(id, *pair) for id, pair in zip(ids, pairs, strict=True)]
    return _Lane(owner, limit, hold, waiting[::-1])


def _in_order(lanes: list[_Lane], order: _Order) -> Iterator[tuple[str, Hold | None]]:
    """Yield the ids in the order in which they will begin, and why one cannot for now."""
    heap = [(order.turn(lane), number) for number, lane in enumerate(lanes) if lane.waiting]
    heapq.heapify(heap)
    while heap:
        seen, number = heapq.heappop(heap)
        lane = lanes[number]
        hold = Hold(lane.hold) if lane.hold else None
        if seen == order.turn(lane):
            hold = hold or order.begin(lane)
            yield lane.waiting.pop()[0], hold
        if hold:  # and all behind it
            yield from ((id, hold) for id, _, _ in reversed(lane.waiting))
        elif lane.waiting:
            heapq.heappush(heap, (order.turn(lane), number))
