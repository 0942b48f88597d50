"""Whether many jobs leave something: in the process that submits them, and on their engines.

    python bench/growth.py [jobs]

One process submits them to two engines, a tenth at a time, and removes each tenth when it has
ended. After each its memory is printed, and what the engines and their fork servers have: memory,
descriptors, and processes that have ended and that nobody has waited for.
"""

import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import psutil
from services import running_services

if TYPE_CHECKING:
    from moi_django import Group

ENGINES, STEPS = 2, 10
# How many are on their way at once: what waits for an engine takes memory of its own.
AHEAD = 500


def main(jobs: int) -> None:
    """Start services, measure, print."""
    with running_services(ENGINES):
        for done, size, seconds in measure(jobs):
            memory, descriptors, zombies = look_at_engines()
            print(
                f"{done:7,} jobs  {size / 1e6:6.1f} MB  {seconds:6.1f} s"
                f"   engines {memory / 1e6:6.1f} MB {descriptors:4} descriptors {zombies} zombies",
                flush=True,
            )


def look_at_engines() -> tuple[int, int, int]:
    """Return the bytes and descriptors of engines and fork servers, and the zombies of all."""
    below = psutil.Process().children(recursive=True)
    zombies = sum(each.status() == psutil.STATUS_ZOMBIE for each in below)
    engines = [each for each in below if each.cmdline()[-1:] == ["ipyparallel.engine"]]
    servers = [child for each in engines for child in each.children()]
    lasting = [*engines, *servers]
    return (
        sum(each.memory_info().rss for each in lasting),
        sum(each.num_fds() for each in lasting),
        zombies,
    )


def measure(jobs: int) -> Iterator[tuple[int, int, float]]:
    """Submit; after each tenth give the number of jobs, the bytes in memory and the seconds."""
    from moi_django import Group, submit_nouser
    from moi_django.cluster import connections

    begun, process = time.perf_counter(), psutil.Process()
    # What is loaded and cached by the first ones is no growth.
    submit_nouser(abs, -1).wait()
    yield 1, process.memory_info().rss, time.perf_counter() - begun
    for step in range(1, STEPS + 1):
        submit_all(Group.create("no-user", "growth"), jobs // STEPS)
        yield step * (jobs // STEPS), process.memory_info().rss, time.perf_counter() - begun
    connections.close_connections()


def submit_all(group: "Group", jobs: int) -> None:
    """Submit so many jobs, and remove them when all have ended."""
    from moi_django import ctx_default, submit
    from moi_django.site_store import get_store

    def ended() -> int:
        return get_store().tree.totals(group.id).get("success", 0)

    for number in range(jobs):
        if number % 100 == 0:
            while number - ended() > AHEAD:
                time.sleep(0.01)
        submit(ctx_default, group, "a job", None, abs, -1)
    while ended() < jobs:
        time.sleep(0.05)
    group.delete()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50_000)
