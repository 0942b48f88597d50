"""Run one system and measure what standard input asks for, a JSON line for a JSON line.

`python -m peer_programs NAME`; it ends, and all that it started, with standard input or SIGTERM.
"""

import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psutil

from peer_programs.base import NotOfferedError, Peer

CLASSES = {
    "ipyparallel": "ipyparallel_peer.Ipyparallel",
    "ours": "ours.Ours",
    "ours-shared": "ours.OursShared",
    "huey": "huey_peer.Huey",
    "celery": "celery_peer.Celery",
    "rq-simple": "rq_peer.SimpleRQ",
    "rq": "rq_peer.ForkingRQ",
    "dramatiq": "dramatiq_peer.Dramatiq",
    "dask": "dask_peer.Dask",
}
# Seconds: a worker is idle so long before the next round trip; work that is left over has ended.
PAUSE, SETTLED_AFTER = 0.02, 0.1


def main(name: str) -> None:
    """Start the system, answer until there are no more questions, stop it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with _answers() as answer, _started(name, answer) as peer:
        if peer is None:
            return
        answer({"process_each": peer.process_each})
        for line in sys.stdin:
            asked = json.loads(line)
            try:
                answer(MEASURES[asked["measure"]](peer, asked["jobs"]))
            except NotOfferedError as reason:
                answer({"missing": str(reason)})
            peer.forget()


@contextmanager
def _answers() -> Iterator[Callable[[dict], None]]:
    """Keep standard output for the answers, whatever else is printed."""
    with os.fdopen(os.dup(1), "w") as output:
        os.dup2(2, 1)
        yield lambda said: print(json.dumps(said), file=output, flush=True)


@contextmanager
def _started(name: str, answer: Callable[[dict], None]) -> Iterator[Peer | None]:
    module, _, class_name = CLASSES[name].partition(".")
    peer: Peer | None = None
    try:
        try:
            peer = getattr(importlib.import_module(f"peer_programs.{module}"), class_name)()
            peer.start()
        except ModuleNotFoundError as error:
            answer({"missing": f"{error.name} is not installed"})
            yield None
        except NotOfferedError as reason:
            answer({"missing": str(reason)})
            yield None
        else:
            yield peer
    except Exception:
        print(peer.log() if peer else "", file=sys.stderr)
        raise
    finally:
        if peer is not None:
            peer.stop()


def one_by_one(peer: Peer, jobs: int) -> dict[str, Any]:
    """Submit one after the other, then read all results."""
    submits, begun_cpu, begun = [], cpu_seconds(), time.perf_counter()
    sent, before = [], begun
    for _ in range(jobs):
        sent.append(peer.submit())
        after = time.perf_counter()
        submits.append(after - before)
        before = after
    _check(peer.results(sent), jobs)
    seconds = time.perf_counter() - begun
    time.sleep(SETTLED_AFTER)
    return {"seconds": seconds, "submits": submits, "cpu": cpu_seconds() - begun_cpu}


def together(peer: Peer, jobs: int) -> dict[str, Any]:
    """Submit all at once, then read all results."""
    begun = time.perf_counter()
    _check(peer.submit_many(jobs)(), jobs)
    return {"seconds": time.perf_counter() - begun}


def round_trips(peer: Peer, jobs: int) -> dict[str, Any]:
    """Submit and wait, with a pause in which the workers are idle."""
    trips = []
    for _ in range(jobs):
        time.sleep(PAUSE)
        begun = time.perf_counter()
        result = peer.result(peer.submit())
        trips.append(time.perf_counter() - begun)
        _check([result], 1)
    return {"trips": trips}


MEASURES = {"one by one": one_by_one, "together": together, "round trips": round_trips}


def cpu_seconds() -> float:
    """Return what this process and all below it have used, those that have ended too."""
    own = psutil.Process()
    return sum(_seconds_of(process) for process in [own, *own.children(recursive=True)])


def _seconds_of(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    # Those that it has waited for count as its own.
    return times.user + times.system + times.children_user + times.children_system


def _check(results: list[Any], jobs: int) -> None:
    if results != [1] * jobs:
        raise AssertionError(f"{jobs} jobs have {len(results)} results: {results[:5]} ...")


if __name__ == "__main__":
    main(sys.argv[1])
