"""A job that runs for as long as a test wants."""

from pathlib import Path

import psutil

from moi_django import ctx_default, submit
from tests.helpers.processes import wait_for
from tests.site import work


class Held:
    """A job that runs until its gate is opened."""

    def __init__(self, directory, name, function=work.held, owner="no-user"):
        self.gate, self.told = directory / f"{name}-gate", directory / f"{name}-told"
        self.job = submit(ctx_default, owner, name, None, function, str(self.gate), str(self.told))

    @property
    def pid(self):
        pid_file = Path(f"{self.told}.pid")
        return int(wait_for(lambda: pid_file.exists() and pid_file.read_text().split())[0])

    @property
    def engine(self):
        """The process of the engine that it runs on."""
        fork_server = psutil.Process(self.pid).parent()
        return fork_server.parent()

    def ending(self):
        return wait_for(lambda: self.told.exists() and self.told.read_text(), "the end of a job")
