"""What the benchmarks run on: Redis and engines with Django set up on them, or the example."""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
MANAGE = str(ROOT / "example_project" / "manage.py")
# The settings, and what else the benchmarks share with the tests; they may be run from anywhere.
sys.path.insert(0, str(ROOT))


def make_parser(text: str | None) -> argparse.ArgumentParser:
    """Return a parser of the command line of a benchmark, whose help is its docstring."""
    summary, _, description = (text or "").partition("\n")
    return argparse.ArgumentParser(
        description=summary,
        epilog=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


@contextmanager
def running_services(engines: int = 0, settings: str = "tests.settings") -> Iterator[str]:
    """Run services until the block ends; gives the URL of Redis.

    Engines have no Django, and their controller's file stands in MOI_CONNECTION_FILE.
    """
    from moi_django.contrib.services.embedded_redis import EmbeddedRedis

    with (
        EmbeddedRedis() as server,
        tempfile.TemporaryDirectory() as directory,
        running_cluster(engines, Path(directory) / "cluster") if engines else nullcontext(),
    ):
        os.environ.update(
            DJANGO_SETTINGS_MODULE=settings,
            MOI_TEST_DIR=directory,
            MOI_REDIS_URL=server.url,
        )
        import django

        django.setup()
        yield server.url


@contextmanager
def running_cluster(engines: int, directory: Path) -> Iterator[str]:
    """Run a controller and engines until the block ends; gives the file for its clients.

    It stands in MOI_CONNECTION_FILE too.
    """
    from tests.helpers import clusters

    directory.mkdir()
    with clusters.running_cluster(engines, directory, {"PYTHONPATH": str(ROOT)}) as file:
        os.environ["MOI_CONNECTION_FILE"] = file
        yield file


@dataclass(frozen=True)
class RunningExample:
    """The example as `moi up` runs it, and what its other commands need in their environment."""

    process: subprocess.Popen[str]
    env: dict[str, str]
    seconds_until_ready: float


@contextmanager
def running_example(*arguments: str) -> Iterator[RunningExample]:
    """Run `manage.py moi up` of the example with these arguments until the block ends."""
    with tempfile.TemporaryDirectory() as directory:
        env = {
            **os.environ,
            "EXAMPLE_STATE_DIR": f"{directory}/state",
            "EXAMPLE_DATABASE": f"{directory}/db.sqlite3",
        }
        subprocess.run([sys.executable, MANAGE, "migrate", "-v0"], env=env, check=True)
        begun = time.perf_counter()
        up = subprocess.Popen(
            [sys.executable, MANAGE, "moi", "up", *arguments],
            env=env,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            if not any("ready" in line for line in up.stdout or ()):
                raise RuntimeError("The example did not start; what it says stands above.")
            yield RunningExample(up, env, time.perf_counter() - begun)
        finally:
            up.terminate()
            up.communicate()
