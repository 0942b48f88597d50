"""Functions that run by the clock, a clock that tests set, and processes that look at schedules."""

import os
import signal
from pathlib import Path
from typing import Any

import django
from django.conf import settings

from tests.helpers.processes import ROOT

# A Monday at noon, by UTC: seconds since 1970.
NOON = 1_767_614_400.0
# When a process dies.
BEFORE, AFTER = "before", "after"


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self, now: float = NOON) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def settings_with(directory: Path, schedule: dict[str, Any], code: str = "") -> dict[str, str]:
    """Return the environment of programs whose settings have a schedule, and some code."""
    # Engines that are there have the code, and other settings.
    moi = {"SCHEDULE": schedule, "ENGINE_IMPORTS": ("tests",)}
    text = f"{code}\nfrom tests.settings import *\nMOI.update({moi!r})\n"
    (directory / "clock_settings.py").write_text(text)
    return {"DJANGO_SETTINGS_MODULE": "clock_settings", "PYTHONPATH": f"{ROOT}:{directory}"}


def add_line(path: str, line: str = "ran") -> str:
    """Note that this was run."""
    with Path(path).open("a") as file:
        file.write(line + "\n")
    return line


class Deadly:
    """An argument that kills the process which sends it to an engine."""

    def __reduce__(self) -> Any:
        kill_self()
        raise AssertionError("it lives")


def kill_self(*_: object) -> None:
    """End this process as the system does when it has no memory left."""
    os.kill(os.getpid(), signal.SIGKILL)


def look_by_turns(barrier: Any, moi: dict[str, Any], times: list[float], dies: str) -> None:
    """Look at the schedules at each of these times, at the same moment as other processes.

    It dies AFTER it has created the first job, or right BEFORE, if that is said.
    """
    django.setup()
    settings.MOI = moi
    if dies == BEFORE:
        for entry in moi["SCHEDULE"].values():
            entry["args"] = (Deadly(),)
    from moi_django.contrib.schedules.runner import ScheduleRunner

    clock, said = Clock(), list[str]()
    runner = ScheduleRunner(kill_self if dies == AFTER else said.append, clock)
    for clock.now in times:
        barrier.wait(60)
        runner.run_due()
