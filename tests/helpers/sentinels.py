"""Sentinels that watch a primary and its replica, and let one take the place of the other."""

import shutil
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import quote

import redis

from moi_django.contrib.services import parent_death
from moi_django.contrib.services.embedded_redis import find_server
from tests.helpers.failover import Pair
from tests.helpers.processes import free_port, wait_for

NAME = "lab"
# Seconds for them to agree: they do nothing for 30 once the machine has stood still for two.
DEADLINE = 90.0
CONFIGURATION = """
port {port}
bind 127.0.0.1
dir {directory}
requirepass {own_password}
sentinel sentinel-pass {own_password}
sentinel monitor {name} 127.0.0.1 {primary} 2
sentinel auth-pass {name} {password}
sentinel down-after-milliseconds {name} 3000
sentinel failover-timeout {name} 5000
"""


class WatchedPair(Pair):
    """A primary, a replica, and three sentinels with a password of their own."""

    own_password = "of the sentinels".replace(" ", "-")

    def __enter__(self) -> "WatchedPair":
        super().__enter__()
        self._directory = Path(tempfile.mkdtemp(prefix="moi-"))
        self._ports = [free_port() for _ in range(3)]
        self._sentinels = [self._start(port) for port in self._ports]
        # One of them is not there: the next one is asked.
        hosts = ",".join(f"127.0.0.1:{port}" for port in (free_port(), *self._ports))
        self.url = (
            f"redis+sentinel://:{quote(self.primary.password)}@{hosts}/{NAME}/0"
            f"?sentinel_password={self.own_password}"
        )
        wait_for(self._all_know_all, "that sentinels know each other", DEADLINE)
        return self

    def __exit__(self, *error: object) -> None:
        for process in self._sentinels:
            process.terminate()
            process.wait()
        shutil.rmtree(self._directory)
        super().__exit__(*error)

    def _start(self, port: int) -> subprocess.Popen[bytes]:
        directory = self._directory / str(port)
        directory.mkdir()
        file = directory / "sentinel.conf"
        file.write_text(
            CONFIGURATION.format(
                port=port,
                directory=directory,
                own_password=self.own_password,
                name=NAME,
                primary=self.primary.port,
                password=self.primary.password,
            )
        )
        command = [str(find_server()), str(file), "--sentinel"]
        return subprocess.Popen(
            parent_death.with_parent_death_signal(command), stdout=subprocess.DEVNULL
        )

    def _ask(self, port: int) -> dict[str, object]:
        with redis.Redis(port=port, password=self.own_password) as sentinel:
            try:
                return dict(sentinel.sentinel_masters()[NAME])
            except redis.ConnectionError:
                return {}

    def _all_know_all(self) -> bool:
        said = [self._ask(port) for port in self._ports]
        return all(
            (each.get("num-other-sentinels"), each.get("num-slaves")) == (2, 1) for each in said
        )

    def let_fail_over(self) -> None:
        """Kill the primary and return when sentinels have put the replica in its place."""
        self._wait()
        self.primary.kill()
        port = self.replica.port
        wait_for(
            lambda: all(self._ask(each).get("port") == port for each in self._ports),
            "that the replica takes its place",
            DEADLINE,
        )
        self.primary, self.replica = self.replica, self.primary
