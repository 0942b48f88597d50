"""What a claim costs however many owners have jobs in the queue.

    python bench/claims.py [jobs] [claims]

As many jobs wait, of 1, 100 and 10,000 owners. One worker claims one after the other, with the end
of the one before in the same round trip, as engines do; the numbers of owners take turns, so that
what else the machine does hits all alike.
"""

import statistics
import sys
import time
import uuid
from typing import Any

from services import running_services

OWNERS = (1, 100, 10_000)
QUEUE = "default:3.11"
# Claims in one turn.
TURN = 100


def main(jobs: int, claims: int) -> None:
    """Start Redis, measure, print."""
    with running_services() as url:
        queues = {owners: WaitingJobs(url, owners, jobs) for owners in OWNERS if owners <= jobs}
        for turn in range(-(-claims // TURN)):
            for owners in list(queues)[:: -1 if turn % 2 else 1]:
                queues[owners].claim(TURN)
        report(queues, jobs)


class WaitingJobs:
    """Jobs of so many owners in a queue of their own."""

    def __init__(self, url: str, owners: int, jobs: int) -> None:
        from moi_django.store import Store, StoreConfig
        from moi_django.store.job_records import CREATED_AT_ONCE
        from moi_django.store.queue import Worker
        from tests.helpers.queues import job_for
        from tests.helpers.records import new_group

        self.store = Store(StoreConfig(url, f"owners-{owners}:"))
        self.worker = Worker(QUEUE, "an engine")
        roots = [self.store.users.enrol(f"owner {n}", new_group) for n in range(owners)]
        how = {"context": "default", "python": "3.11"}
        for start in range(0, jobs, CREATED_AT_ONCE):
            numbers = range(start, min(jobs, start + CREATED_AT_ONCE))
            self.store.jobs.create_many(
                [(job_for(roots[n % owners], **how), b"payload") for n in numbers]
            )
        self.running: Any = self.store.queue.claim(self.worker, "first", _now())
        self.seconds: list[float] = []

    def claim(self, number: int) -> None:
        """End what runs and claim the next one, so many times."""
        from moi_django.models import State

        for _ in range(number):
            info, token, date = self.running.info, uuid.uuid4().hex, _now()
            ended = info.ended(State.SUCCESS)
            begun = time.perf_counter()
            _, claimed = self.store.queue.replace_and_claim(
                info, ended, 0.0, self.worker, token, date
            )
            self.seconds.append(time.perf_counter() - begun)
            if claimed is None:
                raise RuntimeError("Nothing waits any more: let more jobs wait.")
            self.running = claimed


def _now() -> str:
    from moi_django.models import now

    return now()


def report(queues: dict[int, WaitingJobs], jobs: int) -> None:
    """Print the figures of each number of owners."""
    print(f"{jobs:,} jobs wait     claims/s   p50, ms   p99, ms")
    for owners, queue in queues.items():
        seconds = queue.seconds
        p99 = statistics.quantiles(seconds, n=100)[-1]
        rate, p50 = len(seconds) / sum(seconds), statistics.median(seconds)
        print(f"{owners:6,} owners {rate:15,.0f} {p50 * 1000:9.2f} {p99 * 1000:9.2f}")


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    main(*given, *[20_000, 2_000][len(given) :])
