"""How to reach Redis: connections that are waited for, but not for ever, and errors of ours."""

import asyncio
from collections.abc import Callable, Iterator, Set
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import redis
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from moi_django.exceptions import StoreUnavailable

# Seconds for an answer, and for the first one of a command line, before which it has done nothing.
ANSWER, FIRST_ANSWER = 5.0, 0.8
OPTIONS: dict[str, Any] = {
    "socket_connect_timeout": 1.5,
    "socket_timeout": ANSWER,
    "health_check_interval": 30,
}


# Worth another try at once. A server that did not answer is not: a page would wait for it again and
# again.
PASSING = (redis.ConnectionError, redis.ReadOnlyError)


def blocking_pool(url: str, size: int = 16) -> redis.BlockingConnectionPool:
    """Return a pool of at most `size` connections."""
    return redis.BlockingConnectionPool.from_url(
        url,
        max_connections=size,
        timeout=ANSWER,
        # The first command after a restart of Redis finds a dead connection, and the first write
        # after a failover may find a server that has become a replica: connect again.
        retry=Retry(ExponentialWithJitterBackoff(cap=0.5, base=0.05), 2, PASSING),
        retry_on_error=list(PASSING),
        **OPTIONS,
    )


async def cancel(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks that use Redis, and return when they have ended.

    A cancellation that meets a connection being made can get lost in it, so it is repeated.
    """
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=0.3)


async def close(*clients: Any) -> None:
    """Close pubsubs and clients of Redis to the end, also when cancelled meanwhile."""

    async def close_each() -> None:
        for client in clients:
            await client.aclose()

    closing = asyncio.ensure_future(close_each())
    while not closing.done():
        with suppress(asyncio.CancelledError):
            await asyncio.shield(closing)


async def align(pubsub: Any, want: Set[str], have: set[str], channel: Callable[[str], str]) -> None:
    """Subscribe to the channels of what is wanted, and to no others; note that in `have`."""
    fresh, stale = want - have, have - want
    have |= fresh
    have -= stale
    try:
        if fresh:
            await pubsub.subscribe(*map(channel, fresh))
        if stale:
            await pubsub.unsubscribe(*map(channel, stale))
    except AttributeError as error:
        # What redis-py does while its connection is being closed.
        raise redis.ConnectionError("the connection is being closed") from error


def without_secret(url: str) -> str:
    """Return a Redis url without its password, fit for a message."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def look(url: str) -> None:
    """Raise StoreUnavailable, and do so soon, unless there is a Redis that answers."""
    once = Retry(NoBackoff(), 0)
    seconds = {"socket_connect_timeout": FIRST_ANSWER, "socket_timeout": FIRST_ANSWER}
    with _answers(url), redis.Redis.from_url(url, retry=once, **seconds) as client:
        client.ping()


@contextmanager
def _answers(url: str) -> Iterator[None]:
    """Raise StoreUnavailable when a Redis does not do what it is asked in the block."""
    try:
        yield
    except RedisError as error:
        reason = str(error).rstrip(".")
        raise StoreUnavailable(
            f"Redis at {without_secret(url)} failed: {reason}. Is it running, and is "
            'MOI["REDIS_URL"] (or MOI_REDIS_URL) right?'
        ) from error


class Connection:
    """A client of one Redis, shared by all threads."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.redis = redis.Redis(connection_pool=blocking_pool(url))

    def ping(self) -> None:
        """Raise StoreUnavailable unless Redis answers."""
        with self.answers():
            self.redis.ping()

    def close(self) -> None:
        """Give all connections back to the system."""
        self.redis.close()
        self.redis.connection_pool.disconnect()

    def answers(self) -> AbstractContextManager[None]:
        """Raise StoreUnavailable when Redis does not do what it is asked in the block."""
        return _answers(self.url)
