"""What a submission from the shell costs: `manage.py moi submit --block` against `check`.

    python bench/startup.py [runs]

Both run in the example, in turns; the medians and their ratio are printed.
"""

import statistics
import subprocess
import sys
import time

from services import MANAGE, running_example

COMMANDS = {
    "manage.py check": ["check"],
    "manage.py moi submit --block": ["moi", "submit", "--cmd", "return 1", "--block"],
    "manage.py moi users": ["moi", "users"],
}


def main(runs: int) -> None:
    """Start services, measure, print."""
    with running_example("--no-server", "--engines=1") as example:
        report(measure(example.env, runs))


def measure(env: dict[str, str], runs: int) -> dict[str, list[float]]:
    """Return the seconds of each run of each command."""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(runs + 1):
        for name, arguments in COMMANDS.items():
            started = time.perf_counter()
            subprocess.run(
                [sys.executable, MANAGE, *arguments], env=env, check=True, capture_output=True
            )
            times[name].append(time.perf_counter() - started)
    # The first of each fills caches.
    return {name: seconds[1:] for name, seconds in times.items()}


def report(times: dict[str, list[float]]) -> None:
    """Print a line for each command."""
    base = statistics.median(times["manage.py check"])
    for name, seconds in times.items():
        median = statistics.median(seconds)
        print(f"{name:30} {median * 1000:6.0f} ms   x{median / base:.2f} of check")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
