"""What one Redis bears: claims of hundreds of workers, signs of life of engines, pages that watch.

    python bench/scale.py [--workers=10,100,500] [--seconds=5] [--listeners=1,100,1000]

Workers are threads of two processes. Each has the connections, the lease and the heartbeat of an
engine; its jobs end at once. First all have one job, which lasts, so that only signs of life cost;
then they claim as fast as they can. CPU is that of Redis alone, as it says, so that a machine with
more CPUs would do more claims a second only as far as these leave Redis a whole one.
"""

import argparse
import multiprocessing
import os
import resource
import statistics
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.synchronize import Event
from typing import Any

import redis
from services import running_services

PROCESSES, OWNERS, QUEUE = 2, 100, "default:3.11"
# Jobs that wait for each second of claims, which is more than one Redis hands out.
JOBS_A_SECOND = 4_000
# Seconds between two signs of life, as with the default for LEASE.
LEASE = 8.0
CHANGES, SUBSCRIPTIONS = 200, 20_000


def main(options: argparse.Namespace) -> None:
    """Start Redis, measure, print."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with running_services() as url:
        print(f"load before: {os.getloadavg()[0]:.1f}, {os.cpu_count()} CPUs")
        print("          at rest                            | claiming")
        print(
            "workers   connections   kB each   ms CPU/s each | claims/s   p50, ms   p99, ms  ms CPU"
        )
        for workers in options.workers:
            print(measure_workers(url, workers, options.seconds), flush=True)
        print("listeners   CPU a change, ms")
        for listeners in options.listeners:
            print(f"{listeners:9}   {measure_change(url, listeners):8.2f}", flush=True)
        print(f"a subscription: {measure_subscriptions(url):.0f} bytes")


@dataclass
class Usage:
    """What Redis has used between two looks."""

    cpu: float
    seconds: float


@contextmanager
def usage_of(client: Any) -> Iterator[Usage]:
    """Measure what Redis uses in the block."""

    def cpu() -> float:
        info = client.info("cpu")
        return float(info["used_cpu_sys"] + info["used_cpu_user"])

    usage = Usage(0.0, 0.0)
    before, begun = cpu(), time.monotonic()
    yield usage
    usage.cpu, usage.seconds = cpu() - before, time.monotonic() - begun


def store_of(url: str, prefix: str) -> Any:
    """Return a store with connections of its own."""
    from moi_django.store import Store, StoreConfig

    return Store(StoreConfig(url, prefix, lease=LEASE))


def create_jobs(store: Any, number: int) -> None:
    """Let so many jobs wait, of a hundred owners."""
    from moi_django.store.job_records import CREATED_AT_ONCE
    from tests.helpers.queues import job_for
    from tests.helpers.records import new_group

    roots = [store.users.enrol(f"owner {n}", new_group) for n in range(OWNERS)]
    for start in range(0, number, CREATED_AT_ONCE):
        numbers = range(start, min(number, start + CREATED_AT_ONCE))
        jobs = [job_for(roots[n % OWNERS], context="default", python="3.11") for n in numbers]
        store.jobs.create_many([(job, b"payload") for job in jobs])


def measure_workers(url: str, workers: int, seconds: float) -> str:
    """Return a line about so many workers, at rest and at work."""
    prefix = f"{workers}-workers:"
    store = store_of(url, prefix)
    client = store.connection.redis
    create_jobs(store, workers + int(JOBS_A_SECOND * seconds))
    before = client.info("memory")["used_memory"], client.info("clients")["connected_clients"]
    context = multiprocessing.get_context("spawn")
    ready, go, stop = context.Barrier(PROCESSES + 1), context.Event(), context.Event()
    found: Any = context.Queue()
    shares = [len(range(n, workers, PROCESSES)) for n in range(PROCESSES)]
    processes = [
        context.Process(target=run_workers, args=(url, prefix, share, n, ready, go, stop, found))
        for n, share in enumerate(shares)
    ]
    for process in processes:
        process.start()
    ready.wait()
    with usage_of(client) as rest:
        time.sleep(max(seconds, LEASE / 2))
    connections = client.info("clients")["connected_clients"] - before[1]
    kilobytes = (client.info("memory")["used_memory"] - before[0]) / 1e3 / workers
    with usage_of(client) as claims:
        go.set()
        time.sleep(seconds)
        stop.set()
        times = [each for _ in processes for each in found.get()]
    for process in processes:
        process.join()
    client.flushall()
    store.connection.disconnect()
    p50, p99 = statistics.median(times), statistics.quantiles(times, n=100)[-1]
    return (
        f"{workers:7}   {connections:11}   {kilobytes:7.0f}   "
        f"{1000 * rest.cpu / rest.seconds / workers:13.2f} | {len(times) / claims.seconds:8,.0f}   "
        f"{p50 * 1000:7.1f}   {p99 * 1000:7.1f}   {1000 * claims.cpu / len(times):6.2f}"
    )


def run_workers(
    url: str, prefix: str, number: int, process: int, ready: Any, go: Event, stop: Event, found: Any
) -> None:
    """Be so many workers; put the seconds that each claim has taken."""
    barrier = threading.Barrier(number + 1)
    threads = [
        threading.Thread(target=be_worker, args=(url, prefix, f"{process}-{n}", barrier, go, stop))
        for n in range(number)
    ]
    for thread in threads:
        thread.start()
    barrier.wait()
    ready.wait()
    for thread in threads:
        thread.join()
    found.put(SECONDS)


# What the claims of this process have taken.
SECONDS: list[float] = []


def be_worker(
    url: str, prefix: str, name: str, barrier: threading.Barrier, go: Event, stop: Event
) -> None:
    """Have a job and a heartbeat until it goes off; then end one and claim the next."""
    from moi_django.engine.heartbeat import Heartbeat
    from moi_django.models import State, now
    from moi_django.store.queue import Worker

    store = store_of(url, prefix)
    heartbeat, worker = Heartbeat(store, name), Worker(QUEUE, name)
    claim = store.queue.claim(worker, "first", now())
    with heartbeat.at_queue(worker):
        lease = heartbeat.watch_over(claim.info)
        barrier.wait()
        go.wait()
        while claim is not None and not stop.is_set():
            ended = claim.info.ended(State.SUCCESS)
            begun = time.perf_counter()
            _, following = store.queue.replace_and_claim(
                claim.info, ended, 0.0, worker, uuid.uuid4().hex, now()
            )
            SECONDS.append(time.perf_counter() - begun)
            lease.close()
            claim = following
            if claim is not None:
                lease = heartbeat.watch_over(claim.info)
        if claim is not None:
            lease.close()
        elif not stop.is_set():
            raise RuntimeError("Nothing waits any more: let more jobs wait.")


def measure_change(url: str, listeners: int) -> float:
    """Return the milliseconds of Redis for a change of which so many servers are told."""
    from tests.helpers.queues import job_for
    from tests.helpers.records import new_group

    store = store_of(url, f"{listeners}-listeners:")
    job = job_for(store.users.enrol("ada", new_group), context="default", python="3.11")
    store.jobs.create(job, payload=b"payload")
    clients = [redis.Redis.from_url(url) for _ in range(listeners)]
    heard: list[Any] = [client.pubsub() for client in clients]
    for pubsub in heard:
        pubsub.subscribe(store.keys.channel(job.id))
        pubsub.get_message(timeout=5)
    store.jobs.change(job.id, partial(with_status, "the first loads the script"))
    with usage_of(store.connection.redis) as usage:
        for number in range(CHANGES):
            store.jobs.change(job.id, partial(with_status, f"step {number}"))
    for pubsub, client in zip(heard, clients, strict=True):
        pubsub.close()
        client.close()
    store.connection.redis.flushall()
    store.connection.disconnect()
    return 1000 * usage.cpu / CHANGES


def measure_subscriptions(url: str) -> float:
    """Return the bytes that Redis keeps for a job that a server process listens for."""
    with redis.Redis.from_url(url) as client, client.pubsub() as pubsub:
        before = client.info("memory")["used_memory"]
        for _ in range(0, SUBSCRIPTIONS, 1000):
            pubsub.subscribe(*[f"{uuid.uuid4()}:pubsub" for _ in range(1000)])
            for _ in range(1000):
                pubsub.get_message(timeout=5)
        return float(client.info("memory")["used_memory"] - before) / SUBSCRIPTIONS


def with_status(status: str, info: Any) -> Any:
    """Return a job with another status."""
    return info.changed(status=status)


def numbers(text: str) -> list[int]:
    """Return numbers between commas."""
    return [int(each) for each in text.split(",")]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=numbers, default=[10, 100, 500])
    parser.add_argument("--listeners", type=numbers, default=[1, 100, 1000])
    parser.add_argument("--seconds", type=float, default=5.0)
    main(parser.parse_args())
