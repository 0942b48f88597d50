"""Servers of which one takes the place of the other, at an address that moves along."""

import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import redis

from moi_django.contrib.services.embedded_redis import EmbeddedRedis
from tests.helpers.processes import free_port, wait_for

# Seconds for an answer, for a replica to be in step, and for which writes may be paused.
ANSWER_TIMEOUT, STEP_TIMEOUT, PAUSE = 1.0, 5.0, 2.0


class Server(EmbeddedRedis):
    """A server that another one can be a replica of, which needs a port."""

    def __init__(self, data: Path | None = None, primary: "Server | None" = None) -> None:
        super().__init__(data)
        self.port, self._primary = free_port(), primary
        self.password = primary.password if primary else self._password
        self.url = self.url.replace(self._password, self.password)
        self._password = self.password

    def _configuration(self) -> str:
        lines = [f"masterauth {self.password}", "repl-diskless-sync-delay 0"]
        if not self._data:
            lines.append(f"dir {self._directory}")
        if self._primary:
            lines.append(f"replicaof 127.0.0.1 {self._primary.port}")
        own = super()._configuration().replace("port 0\n", f"bind 127.0.0.1\nport {self.port}\n")
        return own + "\n".join([*lines, ""])

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self._directory / "redis.sock"

    def ask(self, *command: Any) -> Any:
        """Return the answer to a command, which has to come soon."""
        with redis.Redis.from_url(self.url, socket_timeout=ANSWER_TIMEOUT) as client:
            return client.execute_command(*command)

    def promote(self) -> None:
        """Let a replica be one no more."""
        self.ask("REPLICAOF", "NO", "ONE")
        self._primary = None

    def follow(self, primary: "Server") -> None:
        """Become a replica."""
        self.ask("REPLICAOF", "127.0.0.1", primary.port)

    def is_in_step_with(self, primary: "Server") -> bool:
        """Tell whether it has, and keeps, all that its primary has confirmed."""
        there, here = primary.ask("INFO"), self.ask("INFO")
        is_up = here.get("master_link_status") == "up"
        is_written = not here["aof_rewrite_in_progress"] and not here["aof_rewrite_scheduled"]
        return is_up and is_written and here["slave_repl_offset"] >= there["master_repl_offset"]


class Address:
    """Where clients find the server that counts, as by a name or a proxy."""

    def __init__(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="moi-"))
        self._here = self._directory / "here"

    def url(self, server: Server) -> str:
        """Return it with the password of a server."""
        return f"unix://:{server.password}@{self._here}?db=0"

    def lead_to(self, server: Server) -> None:
        """Let it lead to a server; connections that are open stay where they are."""
        draft = self._directory / "draft"
        draft.symlink_to(server.socket)
        draft.replace(self._here)

    def remove(self) -> None:
        """Let it lead nowhere any more."""
        shutil.rmtree(self._directory)


class Pair:
    """A primary and its replica; `url` leads to the one that counts."""

    def __enter__(self) -> "Pair":
        self._address = Address()
        self.primary = Server().start()
        self.replica = Server(primary=self.primary).start()
        self.url = self._address.url(self.primary)
        self._address.lead_to(self.primary)
        self._wait()
        return self

    def __exit__(self, *error: object) -> None:
        self.primary.stop()
        self.replica.stop()
        self._address.remove()

    def _wait(self) -> None:
        def is_in_step() -> bool:
            with suppress(redis.RedisError):  # one that is slow is asked again
                return self.replica.is_in_step_with(self.primary)
            return False

        wait_for(is_in_step, "the replica")

    def crash(self) -> None:
        """Kill the primary and promote the replica, which has got all."""
        self._wait()
        self.primary.kill()
        self.replica.promote()
        self._address.lead_to(self.replica)

    def change_places(self) -> None:
        """Promote the replica and make the primary its replica, as for an upgrade.

        Connections to the old primary stay open.
        """
        self._wait()
        self.replica.promote()
        self._address.lead_to(self.replica)
        self.primary.follow(self.replica)
        self.primary, self.replica = self.replica, self.primary


class MovingRedis:
    """A server that keeps its content, and in whose place `fail_over` puts a new one."""

    def __init__(self, directory: Path) -> None:
        self._directory, self._number = directory, 0
        self._address = Address()
        self.server = Server(self._new_data())
        self.url = self._address.url(self.server)
        self._former: list[Server] = []

    def _new_data(self) -> Path:
        self._number += 1
        data = self._directory / f"redis-{self._number}"
        data.mkdir()
        return data

    def __enter__(self) -> "MovingRedis":
        self.server.start()
        self._address.lead_to(self.server)
        return self

    def __exit__(self, *error: object) -> None:
        for server in (self.server, *self._former):
            server.stop()
        self._address.remove()

    @property
    def is_alive(self) -> bool:
        """True while the server runs, frozen or not."""
        return self.server.process is not None and self.server.process.poll() is None

    def fail_over(self, is_crash: bool) -> bool:
        """Promote a replica that has got all that was confirmed, and let the address lead there.

        The former server is killed, or becomes a replica of the new one to which connections stay
        open. Tells whether that was done: not when the server is dead, or does not answer in time.
        """
        if not self.is_alive:
            return False
        replica = Server(self._new_data(), self.server).start()
        try:
            _wait_in_step(replica, self.server)
            # What is confirmed from here on would be lost.
            self.server.ask("CLIENT", "PAUSE", int(PAUSE * 1000), "WRITE")
            _wait_in_step(replica, self.server, PAUSE / 2)
        except (redis.RedisError, TimeoutError):
            replica.stop()
            return False
        replica.promote()
        self._address.lead_to(replica)
        former, self.server = self.server, replica
        self._former.append(former)
        if is_crash:
            former.kill()
        else:
            with suppress(redis.RedisError):
                former.follow(replica)
                former.ask("CLIENT", "UNPAUSE")
        return True


def _wait_in_step(replica: Server, primary: Server, seconds: float = STEP_TIMEOUT) -> None:
    deadline = time.monotonic() + seconds
    while not replica.is_in_step_with(primary):
        if time.monotonic() > deadline:
            raise TimeoutError("the replica is not in step")
        time.sleep(0.01)
