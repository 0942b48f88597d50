"""Find the primary that sentinels know by a name, each time that a connection is opened.

`redis+sentinel://:PASSWORD@host:26379,host2:26379/NAME/0` names them; with `rediss+sentinel://` TLS
leads to them and to the primary. `?sentinel_password=` is what they ask for themselves.
"""

import asyncio
import weakref
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import redis.asyncio
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel

# Seconds for a sentinel to answer before the next one is asked, and its usual port.
SENTINEL_TIMEOUT, SENTINEL_PORT = 0.5, 26379
LOGIN = {"username": "sentinel_username", "password": "sentinel_password"}


class Sentinels:
    """The sentinels of a url. Raises ValueError for one that makes no sense."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        scheme = parts.scheme.removesuffix("+sentinel")
        login, at, hosts = parts.netloc.rpartition("@")
        self._name, _, database = parts.path.strip("/").partition("/")
        given = [urlsplit(f"//{host}") for host in hosts.split(",")]
        if not self._name or not all(each.hostname for each in given):
            raise ValueError(f"{parts.scheme}://HOST:PORT,HOST:PORT/NAME names a primary")
        addresses = [(str(each.hostname), each.port or SENTINEL_PORT) for each in given]
        self.is_encrypted = scheme == "rediss"
        # As of one server, which has no host here.
        options = dict(parse_url(f"{scheme}://{login}{at}-/{database}?{parts.query}"))
        for name in ("host", "connection_class"):
            options.pop(name, None)
        own = {key: options.pop(name) for key, name in LOGIN.items() if name in options}
        own |= {key: value for key, value in options.items() if key.startswith("ssl_")}
        # What connections to the primary need.
        self._options: dict[str, Any] = options
        limits = dict.fromkeys(("socket_timeout", "socket_connect_timeout"), SENTINEL_TIMEOUT)
        # One that was started anew is asked once more, one that is silent is left.
        again = Retry(NoBackoff(), 1, (redis.ConnectionError,))
        self.client = Sentinel(
            addresses, sentinel_kwargs={**own, "ssl": self.is_encrypted, **limits, "retry": again}
        )
        # As of a store: their sockets may be collected before who closes them.
        weakref.finalize(self, _disconnect, self.client.sentinels).atexit = False

    def find_primary(self) -> tuple[str, int]:
        """Ask one after the other for the address of the primary. Raises redis.ConnectionError."""
        try:
            found: tuple[str, int] = self.client.discover_master(self._name)
        except MasterNotFoundError as error:
            raise redis.ConnectionError(f"no sentinel knows a primary {self._name!r}") from error
        return found

    def connection_options(self) -> dict[str, Any]:
        """Return with what a pool opens connections that lead to the primary."""
        kind = _EncryptedConnection if self.is_encrypted else _Connection
        return {**self._options, "connection_class": kind, "sentinels": self}

    def async_connection_options(self) -> dict[str, Any]:
        """Return with what a pool of an event loop opens them; channels-redis calls it a host."""
        kind = _AsyncEncryptedConnection if self.is_encrypted else _AsyncConnection
        return {**self._options, "connection_class": kind, "sentinels": self}


def _disconnect(clients: list[redis.Redis]) -> None:
    for client in clients:
        client.connection_pool.disconnect()


class _Connection(redis.Connection):
    """A connection to what is the primary when it is opened."""

    def __init__(self, *, sentinels: Sentinels, **options: Any) -> None:
        self._sentinels = sentinels
        super().__init__(**options)

    def _connect(self) -> Any:
        self.host, self.port = self._sentinels.find_primary()
        return super()._connect()


class _EncryptedConnection(_Connection, redis.SSLConnection):
    pass


class _AsyncConnection(redis.asyncio.Connection):
    """The same in an event loop."""

    def __init__(self, *, sentinels: Sentinels, **options: Any) -> None:
        self._sentinels = sentinels
        super().__init__(**options)

    async def _connect(self) -> None:
        self.host, self.port = await asyncio.to_thread(self._sentinels.find_primary)
        await super()._connect()


class _AsyncEncryptedConnection(_AsyncConnection, redis.asyncio.SSLConnection):
    pass


@lru_cache(maxsize=8)
def get_sentinels(url: str) -> Sentinels:
    """Return the sentinels of a url. Raises ValueError for one that makes no sense."""
    return Sentinels(url)
