"""One system in a process of its own, as the program that measures all of them sees it."""

import json
import os
import select
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Self, cast

import psutil

BENCH = Path(__file__).parents[1]
# Seconds for a system to start or to answer, and to stop.
ANSWERS_WITHIN, STOPS_WITHIN = 180.0, 20.0


class PeerProcess:
    """`with PeerProcess(name) as peer: peer.ask(...)`; when it ends, nothing of it is left."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> Self:
        path = [str(BENCH), str(BENCH.parent), os.environ.get("PYTHONPATH", "")]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "peer_programs", self._name],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            self.said = self._read()
        except BaseException:
            self.__exit__()
            raise
        return self

    def ask(self, measure: str, jobs: int) -> dict[str, Any]:
        """Let it measure something and return what it found."""
        stdin = cast(Any, self._process.stdin)
        stdin.write(json.dumps({"measure": measure, "jobs": jobs}).encode() + b"\n")
        stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        stdout = cast(Any, self._process.stdout)
        if not select.select([stdout], [], [], ANSWERS_WITHIN)[0]:
            raise TimeoutError(f"{self._name} has not answered in {ANSWERS_WITHIN:.0f} s.")
        if line := stdout.readline():
            return json.loads(line)
        raise RuntimeError(f"{self._name} has ended; what it says stands above.")

    def __exit__(self, *error: object) -> None:
        below: list[psutil.Process] = []
        with suppress(psutil.NoSuchProcess):
            below = psutil.Process(self._process.pid).children(recursive=True)
        cast(Any, self._process.stdin).close()
        if any(error):
            # It need not end what it is measuring.
            self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOPS_WITHIN)
        self._process.kill()
        for process in below:
            # One that has ended is not mistaken for another of its number.
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()
        cast(Any, self._process.stdout).close()
