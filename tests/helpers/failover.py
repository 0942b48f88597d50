"""Two servers of which one takes the place of the other, at an address that moves along."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import redis

from moi_django.contrib.services.embedded_redis import EmbeddedRedis
from tests.helpers.processes import free_port, wait_for


class Server(EmbeddedRedis):
    """A server that another one can be a replica of, which needs a port."""

    def __init__(self, primary: "Server | None" = None) -> None:
        super().__init__()
        self.port, self._primary = free_port(), primary
        self.password = primary.password if primary else self._password
        self.url = self.url.replace(self._password, self.password)
        self._password = self.password

    def _configuration(self) -> str:
        lines = [
            f"masterauth {self.password}",
            "repl-diskless-sync-delay 0",
            f"dir {self._directory}",
        ]
        if self._primary:
            lines.append(f"replicaof 127.0.0.1 {self._primary.port}")
        own = super()._configuration().replace("port 0\n", f"bind 127.0.0.1\nport {self.port}\n")
        return own + "\n".join([*lines, ""])

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self._directory / "redis.sock"


class Pair:
    """A primary and its replica; `url` leads to the one that counts, as a name or a proxy does."""

    def __enter__(self) -> "Pair":
        self._directory = Path(tempfile.mkdtemp(prefix="moi-"))
        self.primary = Server().start()
        self.replica = Server(self.primary).start()
        self.url = f"unix://:{self.primary.password}@{self._directory / 'here'}?db=0"
        self._lead_to(self.primary)
        wait_for(self._in_step, "the replica")
        return self

    def __exit__(self, *error: object) -> None:
        self.primary.stop()
        self.replica.stop()
        shutil.rmtree(self._directory)

    def _lead_to(self, server: Server) -> None:
        draft = self._directory / "draft"
        draft.symlink_to(server.socket)
        draft.replace(self._directory / "here")

    def _in_step(self) -> bool:
        """Tell whether the replica has all that the primary has confirmed."""
        there, here = (_replication(server) for server in (self.primary, self.replica))
        is_up = here.get("master_link_status") == "up"
        return is_up and here["slave_repl_offset"] >= there["master_repl_offset"]

    def crash(self) -> None:
        """Kill the primary and promote the replica, which has got all."""
        wait_for(self._in_step, "the replica")
        self.primary.kill()
        with redis.Redis.from_url(self.replica.url) as replica:
            replica.replicaof("NO", "ONE")
        self._lead_to(self.replica)

    def change_places(self) -> None:
        """Promote the replica and make the primary its replica, as for an upgrade.

        Connections to the old primary stay open.
        """
        wait_for(self._in_step, "the replica")
        with redis.Redis.from_url(self.replica.url) as replica:
            replica.replicaof("NO", "ONE")
        self._lead_to(self.replica)
        with redis.Redis.from_url(self.primary.url) as primary:
            primary.replicaof("127.0.0.1", self.replica.port)


def _replication(server: Server) -> dict[str, Any]:
    with redis.Redis.from_url(server.url) as client:
        return client.info("replication")
