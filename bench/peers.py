"""What a job costs beside its peers, in turns: `python3 run.py bench peers [options]`.

Bare ipyparallel, Huey, Celery, RQ, Dramatiq, Dask and moi_django, each with two workers, a private
server and a submitter of its own; the job is `abs(-1)`, and each result is read and checked.

- jobs/s: one submitter submits one by one; until all are known to have ended and are read.
- together: the same, created by the system's own call for many.
- submit: one of the first kind, while the workers are at work.
- round trip: submit and wait for the result as the system knows best; workers are idle before.
- CPU: of the first kind, all processes: workers, servers, controller and submitter.

Medians over the rounds, whose order alternates; round trips are those of all rounds together. In
brackets what it is of bare ipyparallel's. How each is set up stands in `peer_programs/`: everything
as the system has it unless told otherwise, but two workers of one thread in processes, results
kept, and waited for without polling where the system can; Redis, where it has one, on a socket.
"""

import argparse
import json
import os
import platform
import signal
import statistics
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from peer_programs.peer_process import PeerProcess
from services import make_parser

FULL = {"jobs": 1000, "rounds": 5, "trips": 200}
QUICK = {"jobs": 200, "rounds": 2, "trips": 40}
BASE = "ipyparallel"
LABELS = {
    BASE: "bare ipyparallel",
    "ours": "moi_django",
    "ours-shared": "moi_django, process shared by name",
    "huey": "Huey, process workers",
    "celery": "Celery, prefork",
    "rq-simple": "RQ, SimpleWorker",
    "rq": "RQ, Worker",
    "dramatiq": "Dramatiq",
    "dask": "Dask distributed",
}
PACKAGES = [
    *("moi_django", "ipyparallel", "django", "redis", "hiredis"),
    *("huey", "celery", "rq", "dramatiq", "distributed"),
]
# The name of each figure, and how it is written.
FIGURES = {
    "jobs_per_second": ("jobs/s", ",.0f"),
    "together_per_second": ("together, jobs/s", ",.0f"),
    "submit_p50_ms": ("submit p50, ms", ".2f"),
    "round_trip_p50_ms": ("round trip p50, ms", ".1f"),
    "round_trip_p95_ms": ("round trip p95, ms", ".1f"),
    "cpu_ms_per_job": ("CPU a job, ms", ".2f"),
}


def main() -> None:
    """Start all systems, measure them in turns, print."""
    options = parse()
    # What was started is stopped then, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with ExitStack() as running:
        peers: dict[str, PeerProcess] = {}
        missing: dict[str, str] = {}
        for name in options.systems:
            peer = running.enter_context(PeerProcess(name))
            if reason := peer.said.get("missing"):
                missing[name] = reason
            else:
                peers[name] = peer
        rounds = measure(peers, options)
        report = {
            **conditions(options),
            "systems": {name: summary(peers[name], rounds[name]) for name in peers},
            "missing": missing,
        }
    add_ratios(report["systems"])
    print("\n".join(table(report, options.systems)))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


def parse() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("--jobs", type=int, help="jobs of each round")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--trips", type=int, help="round trips in all rounds together")
    parser.add_argument("--quick", action="store_true", help="few of each, in a minute")
    parser.add_argument("--systems", type=systems, default=[*LABELS], help=",".join(LABELS))
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write all figures")
    options = parser.parse_args()
    for name, number in (QUICK if options.quick else FULL).items():
        if getattr(options, name) is None:
            setattr(options, name, number)
    return options


def systems(text: str) -> list[str]:
    """Return the names in a list with commas."""
    if unknown := set(text.split(",")) - set(LABELS):
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}")
    return text.split(",")


def measure(peers: dict[str, PeerProcess], options: argparse.Namespace) -> dict[str, list[dict]]:
    """Return what each system has measured in each round; the order alternates."""
    rounds: dict[str, list[dict]] = {name: [] for name in peers}
    trips = -(-options.trips // options.rounds)
    numbers = {"one by one": options.jobs, "together": options.jobs, "round trips": trips}
    # What is loaded and connected by the first jobs is not measured.
    for peer in peers.values():
        peer.ask("one by one", max(50, options.jobs // 5))
    for number in range(options.rounds):
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
        for name in peers:
            rounds[name].append({})
        for kind, jobs in numbers.items():
            for name in list(peers)[:: -1 if number % 2 else 1]:
                rounds[name][-1][kind] = peers[name].ask(kind, jobs)
    return rounds


def summary(peer: PeerProcess, rounds: list[dict]) -> dict[str, Any]:
    """Return the figures of a system, and those of each round that they are the medians of."""
    each = [dict(figures_of(found)) for found in rounds]
    trips = [seconds * 1000 for found in rounds for seconds in found["round trips"]["trips"]]
    figures = {name: statistics.median([found[name] for found in each]) for name in each[0]} | {
        "round_trip_p50_ms": statistics.median(trips),
        "round_trip_p95_ms": statistics.quantiles(trips, n=20)[-1],
    }
    return {"process_each": peer.said["process_each"], "figures": figures, "rounds": each}


def figures_of(found: dict) -> Iterator[tuple[str, float]]:
    """Give the figures of one round."""
    single, together = found["one by one"], found["together"]
    jobs = len(single["submits"])
    yield "jobs_per_second", jobs / single["seconds"]
    if "missing" not in together:
        yield "together_per_second", jobs / together["seconds"]
    yield "submit_p50_ms", statistics.median(single["submits"]) * 1000
    yield "cpu_ms_per_job", single["cpu"] / jobs * 1000


def add_ratios(found: dict[str, dict]) -> None:
    """Note what each figure is of bare ipyparallel's."""
    base = found.get(BASE, {}).get("figures", {})
    for system in found.values():
        figures = system["figures"]
        system["ratios"] = {name: figures[name] / base[name] for name in figures if name in base}


def conditions(options: argparse.Namespace) -> dict[str, Any]:
    """Return what the figures depend on."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpus": os.cpu_count(),
        "platform": platform.platform(),
        "versions": versions(),
        "jobs": options.jobs,
        "rounds": options.rounds,
        "round_trips": options.trips,
    }


def versions() -> dict[str, str]:
    """Return the version of everything that takes part."""
    from moi_django.contrib.services.embedded_redis import EmbeddedRedis

    with EmbeddedRedis() as server:
        name, _, version = server.version().partition(" ")
    found = {"python": platform.python_version(), name.lower(): version}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def table(report: dict[str, Any], names: list[str]) -> Iterator[str]:
    """Give the lines of a Markdown table, and what it was measured with."""
    heads = ["", *(head for head, _ in FIGURES.values()), "a new process for each job"]
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    for name in names:
        yield f"| {' | '.join([LABELS[name], *cells(report['systems'].get(name))])} |"
    yield ""
    for name, reason in report["missing"].items():
        yield f"Not measured: {LABELS[name]}; {reason}."
    named = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    yield f"{report['date']}, {report['cpus']} CPUs, {report['platform']}; {named}."
    rounds, jobs, trips = (report[name] for name in ("rounds", "jobs", "round_trips"))
    yield f"{rounds} rounds of {jobs} jobs, {trips} round trips."


def cells(system: dict[str, Any] | None) -> Iterator[str]:
    """Give what stands in the columns of a system."""
    if system is None:
        yield from ["-"] * (len(FIGURES) + 1)
        return
    for name, (_, form) in FIGURES.items():
        if name not in system["figures"]:
            yield "-"
            continue
        ratio = f" (x{system['ratios'][name]:.2f})" if name in system["ratios"] else ""
        yield f"{system['figures'][name]:{form}}{ratio}"
    yield "yes" if system["process_each"] else "no"


if __name__ == "__main__":
    main()
