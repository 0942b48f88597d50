"""What a submission from the shell costs: `manage.py moi submit --block` against `check`.

    python bench/startup.py [runs]

Both run in the example, in turns; the medians and their ratio are printed.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MANAGE = str(Path(__file__).parents[1] / "example_project" / "manage.py")
COMMANDS = {
    "manage.py check": ["check"],
    "manage.py moi submit --block": ["moi", "submit", "--cmd", "return 1", "--block"],
    "manage.py moi users": ["moi", "users"],
}


def main(runs: int) -> None:
    """Start services, measure, print."""
    with tempfile.TemporaryDirectory() as directory:
        env = {
            **os.environ,
            "EXAMPLE_STATE_DIR": f"{directory}/state",
            "EXAMPLE_DATABASE": f"{directory}/db.sqlite3",
        }
        subprocess.run([sys.executable, MANAGE, "migrate", "-v0"], env=env, check=True)
        up = subprocess.Popen(
            [sys.executable, MANAGE, "moi", "up", "--no-server", "--engines=1"],
            env=env,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            next(line for line in up.stdout or () if "ready" in line)
            report(measure(env, runs))
        finally:
            up.terminate()
            up.communicate()


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
