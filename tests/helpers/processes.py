"""Programs that tests start: servers of the site and commands in a shell of their own."""

import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings

from moi_django.contrib.services import parent_death

ROOT = Path(__file__).parents[2]
DEADLINE = 60.0


def wait_for(
    condition: Callable[[], Any], what: str = "the condition", deadline: float = DEADLINE
) -> Any:
    """Return what the condition returns once that is true; fail when it does not become so."""
    end = time.monotonic() + deadline
    while not (value := condition()):
        assert time.monotonic() < end, f"{what} did not come true in {deadline} s"
        time.sleep(0.02)
    return value


def in_time(seconds: float, work: Callable[[], Any]) -> Any:
    """Return what the work does once it took less; fail when it takes longer again and again.

    Once may be due to a machine that is busy.
    """
    took = []
    for _ in range(3):
        begun = time.monotonic()
        result = work()
        took.append(time.monotonic() - begun)
        if took[-1] < seconds:
            return result
    raise AssertionError(f"it took {took} s, and never less than {seconds} s")


def threads_of(part: str) -> list[str]:
    """Return the names of the threads in this process that a part of ours has started."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(part)]


def environment(**given: str) -> dict[str, str]:
    """Return the environment of a program that shares the database of the tests."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MOI_")}
    return {
        **kept,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "PYTHONPATH": str(ROOT),
        "MOI_TEST_DATABASE": str(settings.DATABASES["default"]["NAME"]),
        "MOI_TEST_MEDIA": str(settings.MEDIA_ROOT),
        **given,
    }


def manage(*arguments: str, timeout: float = DEADLINE, **env: str) -> subprocess.CompletedProcess:
    """Run a management command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "django", *arguments],
        env=environment(**env),
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def at_once(act: Callable[[], Any]) -> Any:
    """Return what something returns within two seconds.

    On a busy machine Python alone may need that long, so it has four times as long as that needs.
    """
    within = 2.0

    def timed() -> tuple[Any] | None:
        nonlocal within
        started = time.monotonic()
        done = act()
        if time.monotonic() - started < within:
            return (done,)
        started = time.monotonic()
        manage("version")
        within = max(2.0, 4 * (time.monotonic() - started))
        return None

    [done] = wait_for(timed, "an answer within 2 s")
    return done


@contextmanager
def site_process(port: int, **env: str) -> Iterator[subprocess.Popen]:
    """Run the site on a server in a process of its own, until the block ends."""
    process = subprocess.Popen(
        parent_death.with_parent_death_signal(
            [
                *(sys.executable, "-m", "uvicorn", "moi_django.asgi:development"),
                *("--port", str(port), "--lifespan=off", "--log-level=warning"),
                *("--ws=websockets-sansio", "--timeout-graceful-shutdown=1"),
            ]
        ),
        env=environment(**env),
    )
    try:
        wait_for(lambda: _answers(port), "the server")
        yield process
    finally:
        process.terminate()
        process.wait()


def _answers(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/nothing/").close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def free_port() -> int:
    """Return a port that nobody listens at, and that no other test is about to get."""
    from moi_django.contrib.services.free_ports import free_ports

    return free_ports(1)[0]
