"""What a job costs beside a bare task of ipyparallel, on the same engines, in turns.

    python bench/throughput.py [jobs] [rounds]

A job is written to Redis four times and told to whoever watches; a bare task is not.
"""

import os
import statistics
import sys
import time

import ipyparallel
from services import running_services

ENGINES = 2


def main(jobs: int, rounds: int) -> None:
    """Start services, measure, print."""
    with running_services(ENGINES):
        report(*measure(os.environ["MOI_CONNECTION_FILE"], jobs, rounds), jobs)


def measure(file: str, jobs: int, rounds: int) -> tuple[list[float], list[float]]:
    """Return the seconds of each round with bare tasks and with jobs."""
    from moi_django import Group, ctx_default, submit
    from moi_django.cluster import connections
    from moi_django.site_store import get_store

    bare_client = ipyparallel.Client(file)
    view = bare_client.load_balanced_view()
    group = Group.create("no-user", "throughput")
    bare, ours = [], []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        for task in [view.apply_async(abs, -1) for _ in range(jobs)]:
            task.get()
        bare.append(time.perf_counter() - started)
        bare_client.purge_everything()
        group = Group.create("no-user", "throughput")
        started = time.perf_counter()
        for _ in range(jobs):
            submit(ctx_default, group, "a job", None, abs, -1)
        while get_store().tree.totals(group.id) != {"success": jobs}:
            time.sleep(0.005)
        ours.append(time.perf_counter() - started)
    bare_client.close()
    connections.close_connections()
    # The first round warms up.
    return bare[1:], ours[1:]


def report(bare: list[float], ours: list[float], jobs: int) -> None:
    """Print the medians and their ratio."""
    for name, seconds in (("ipyparallel", bare), ("moi_django", ours)):
        median = statistics.median(seconds)
        print(f"{name:12} {jobs / median:6.0f} a second   {median / jobs * 1000:.2f} ms each")
    print(f"ratio        x{statistics.median(bare) / statistics.median(ours):.2f}")


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    main(*given, *[500, 5][len(given) :])
