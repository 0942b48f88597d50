"""Engines that are started one by one, each in an environment of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import ipyparallel

from moi_django.contrib.services import parent_death
from tests.helpers.processes import environment, wait_for


class Engine(NamedTuple):
    """An engine as its controller has it."""

    number: int
    id: str


@contextmanager
def engines_beside(
    client_file: str,
    *envs: dict[str, str],
    file: Path | None = None,
    prefix: tuple[str, ...] = (),
) -> Iterator[list[Engine]]:
    """Run an engine at a controller in each environment; gives them in this order.

    `prefix` is a command that becomes the one after it.
    """
    file = file or Path(client_file).with_name("ipcontroller-engine.json")
    command = parent_death.with_parent_death_signal(
        [*prefix, sys.executable, "-m", "ipyparallel.engine", f"--file={file}"]
    )
    with ipyparallel.Client(client_file) as client:
        before = set(client.ids)
        # They find code by their path, not where the tests run.
        cwd = Path(client_file).parent
        processes = [subprocess.Popen(command, env=environment(**env), cwd=cwd) for env in envs]
        try:
            new = wait_for(
                lambda: len(found := set(client.ids) - before) == len(envs) and found, "engines"
            )
            pids = {client[number].apply_sync(os.getpid): number for number in new}
            numbers = [pids[process.pid] for process in processes]
            yield [Engine(number, client._engines[number]) for number in numbers]
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait()
