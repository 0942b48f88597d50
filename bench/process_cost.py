"""What it costs to give each job a process of its own: pages that are copied, CPU, time.

    python bench/process_cost.py [jobs]

First of bare forks, whose child ends at once; then of jobs that do nothing, one after the other, on
a fork server without Django and without Redis. A page that a child writes to is copied then.
"""

import statistics
import subprocess
import sys
import time
from typing import Any

import psutil

# Forks a child that ends at once, and prints how many pages that one has got.
FORK = """
import gc, os, resource{modules}
gc.collect()
gc.freeze()
child = os.fork()
if not child:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt, flush=True)
    os._exit(0)
os.wait()
"""
BARE = {"bare": "", "after import threading": ", threading"}


def main(jobs: int) -> None:
    """Measure and print."""
    for name, modules in BARE.items():
        code = FORK.format(modules=modules)
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        print(f"fork, {name:24} {int(ran.stdout):5} pages")
    measure_jobs(jobs)


def touched_pages() -> int:
    """Return how many pages the process that calls it has got: what a job runs here."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def measure_jobs(jobs: int) -> None:
    """Run jobs on a fork server and print what they cost."""
    from moi_django.engine.fork_client import ForkServer

    server = ForkServer()
    try:
        print(f"job in a process of its own    {run(server, touched_pages):5} pages")
        [process] = psutil.Process().children()
        before, times = process.cpu_times(), []
        for _ in range(jobs):
            begun = time.perf_counter()
            run(server, abs, -1)
            times.append(time.perf_counter() - begun)
        time.sleep(1)  # for the last processes to end
        after = process.cpu_times()
    finally:
        server.close()
    spent = {name: (getattr(after, name) - getattr(before, name)) / jobs for name in after._fields}
    print(f"time                           {statistics.median(times) * 1e3:5.1f} ms")
    print(f"CPU of the fork server         {(spent['user'] + spent['system']) * 1e3:5.1f} ms")
    print(f"CPU of a process, Python's     {spent['children_user'] * 1e3:5.1f} ms")
    print(f"CPU of a process, the kernel's {spent['children_system'] * 1e3:5.1f} ms")


def run(server: Any, function: object, *args: object) -> Any:
    """Run a function in a process of its own and return its result."""
    import cloudpickle

    from moi_django.engine.messages import Task
    from moi_django.engine.pickling import PYTHON_VERSION
    from moi_django.engine.supervisor import Supervisor

    task = Task(
        id="1",
        name="a job",
        attempt=1,
        context=None,
        parent=None,
        payload=cloudpickle.dumps((function, args, {})),
        python=PYTHON_VERSION,
        result_limit=1_000,
        status_limit=100,
        display_limit=1_000,
    )
    listener: Any = Silent()
    result = Supervisor(server.take(), task, listener).run().result
    server.make_spare()
    return result


class Silent:
    """Listens to jobs that say nothing."""

    def __getattr__(self, name: str) -> object:
        return lambda *what: None


if __name__ == "__main__":
    main(*map(int, sys.argv[1:] or ["500"]))
