"""The memory and processes of `manage.py moi up` that has nothing to do, and how soon it is ready.

    python bench/idle_memory.py [runs] [--settle SECONDS] [--json FILE]

The example with two engines, when it is ready, and again when each engine has run a job. Medians
over the runs. Memory is PSS, in which a page that several processes share is divided among them;
where the system does not tell it, resident memory without what is shared.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psutil
from services import MANAGE, make_parser, running_example

ENGINES = 2
# Long enough for one engine not to run the jobs of all.
JOB = "import time; time.sleep(2); return 1"
# What the command line of a process says it is, the more special first.
MARKS = {
    "moi_django.contrib.services.web_server": "web server",
    "moi_django.contrib.services.orphan_reaper": "orphan reaper",
    "valkey-server": "Valkey",
    "redis-server": "Redis",
    "ipyparallel.engine.nanny": "nannies",
    "ipyparallel.engine": "engines",
    "ipyparallel.controller": "controller",
    "moi reconcile": "reconciler",
    "moi up": "moi up",
}
# What a process is that was started by one of another kind and is no nanny.
BELOW = {
    "controller": "controller's schedulers and relays",
    "controller's schedulers and relays": "controller's schedulers and relays",
    "engines": "fork servers",
    "fork servers": "job processes",
    "job processes": "job processes",
}


@dataclass
class Usage:
    """How many processes there are of each kind, and their bytes."""

    processes: Counter[str] = field(default_factory=Counter)
    bytes: Counter[str] = field(default_factory=Counter)


def main() -> None:
    """Measure, print."""
    parser = make_parser(__doc__)
    parser.add_argument("runs", type=int, nargs="?", default=3)
    parser.add_argument(
        "--settle",
        type=float,
        default=3.0,
        metavar="SECONDS",
        help="in which what has been started or used comes to rest",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write all figures")
    options = parser.parse_args()
    found = report([measure(options.settle) for _ in range(options.runs)])
    print("\n".join(table(found)))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


def measure(settle: float) -> tuple[float, Usage, Usage]:
    """Return the seconds until ready, and what is used then and after jobs."""
    with running_example(f"--engines={ENGINES}", "--bind=127.0.0.1:0") as example:
        time.sleep(settle)
        ready = usage_of(example.process.pid)
        command = [sys.executable, MANAGE, "moi", "submit", "--cmd", JOB, "--block"]
        jobs = [
            subprocess.Popen(command, env=example.env, stdout=subprocess.DEVNULL)
            for _ in range(ENGINES)
        ]
        codes = [job.wait() for job in jobs]
        if any(codes):
            raise RuntimeError("A job has failed; what it says stands above.")
        time.sleep(settle)
        return example.seconds_until_ready, ready, usage_of(example.process.pid)


def usage_of(pid: int) -> Usage:
    """Return what a process and all below it use."""
    usage = Usage()
    for kind, process in tree(psutil.Process(pid), ""):
        usage.processes[kind] += 1
        usage.bytes[kind] += memory_of(process)
    return usage


def tree(process: psutil.Process, above: str) -> Iterator[tuple[str, psutil.Process]]:
    """Give each process with its kind."""
    kind = kind_of(" ".join(process.cmdline()), above)
    yield kind, process
    for child in process.children():
        yield from tree(child, kind)


def kind_of(command: str, above: str) -> str:
    """Return what a process is by its command line and by what the one above it is."""
    marked = next((kind for mark, kind in MARKS.items() if mark in command), "other")
    return marked if marked == "nannies" else BELOW.get(above, marked)


def tells_pss() -> bool:
    """Tell whether the system tells the proportional set size."""
    return hasattr(psutil.Process().memory_full_info(), "pss")


def memory_of(process: psutil.Process) -> int:
    """Return the bytes of a process of which no other one counts the same."""
    if tells_pss():
        return process.memory_full_info().pss
    memory = process.memory_info()
    return memory.rss - getattr(memory, "shared", 0)


def report(runs: list[tuple[float, Usage, Usage]]) -> dict:
    """Return the medians and what they depend on."""
    kinds = {kind: None for _, ready, used in runs for kind in [*ready.processes, *used.processes]}

    def median(usages: list[Usage], kind: str) -> dict[str, float]:
        return {
            "processes": statistics.median(usage.processes[kind] for usage in usages),
            "mb": statistics.median(usage.bytes[kind] for usage in usages) / 1e6,
        }

    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpus": os.cpu_count(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "runs": len(runs),
        "memory": "PSS" if tells_pss() else "RSS without shared",
        "seconds_until_ready": statistics.median(seconds for seconds, _, _ in runs),
        "ready": {kind: median([ready for _, ready, _ in runs], kind) for kind in kinds},
        "after_jobs": {kind: median([used for _, _, used in runs], kind) for kind in kinds},
    }


def table(found: dict) -> Iterator[str]:
    """Give the lines of a Markdown table, and what it was measured on."""
    memory, phases = found["memory"], (found["ready"], found["after_jobs"])
    yield f"| | processes | {memory}, MB | processes after jobs | {memory} after jobs, MB |"
    yield "|---|---|---|---|---|"
    for kind in found["ready"]:
        yield row(kind, [phase[kind] for phase in phases])
    sums = [
        {name: sum(each[name] for each in phase.values()) for name in ("processes", "mb")}
        for phase in phases
    ]
    yield row("sum", sums)
    yield ""
    yield f"Ready after {found['seconds_until_ready']:.1f} s."
    yield f"{found['date']}, {found['cpus']} CPUs, {found['platform']}, Python {found['python']}."


def row(kind: str, phases: list[dict[str, float]]) -> str:
    """Return a line of the table."""
    cells = [f"{phase['processes']:.0f} | {phase['mb']:.0f}" for phase in phases]
    return f"| {kind} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
