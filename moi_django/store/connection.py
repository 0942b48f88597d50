"""How to reach Redis: connections that are waited for, but not for ever, and errors of ours."""

import os
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from urllib.parse import urlsplit

import redis
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.connection import HiredisRespSerializer
from redis.exceptions import AskError, ClusterCrossSlotError, ClusterDownError, RedisError
from redis.retry import Retry

from moi_django.exceptions import StoreUnavailable
from moi_django.store.config import StoreConfig
from moi_django.store.keys import Keys
from moi_django.store.redis_url import connection_options, open_client
from moi_django.store.scripts import Script, ScriptCall

# Seconds for an answer, and for the first one of a command line, before which it has done nothing.
ANSWER_TIMEOUT, FIRST_ANSWER_TIMEOUT = 5.0, 0.8
CONNECTION_OPTIONS: dict[str, Any] = {
    "socket_connect_timeout": 1.5,
    "socket_timeout": ANSWER_TIMEOUT,
    "health_check_interval": 30,
}
# For who wants to know at once.
QUICK = {"socket_connect_timeout": FIRST_ANSWER_TIMEOUT, "socket_timeout": FIRST_ANSWER_TIMEOUT}
# Seconds after which a listener looks by itself, should a message have been lost.
LISTEN_TIMEOUT = 5.0
# How many connections are kept for more listeners, and for how many seconds.
MAX_IDLE_LISTENERS, LISTENER_EXPIRY = 8, 30.0
# Worth another try at once. A server that did not answer is not: a page would wait for it again and
# again.
RETRIED_ERRORS = (redis.ConnectionError, redis.ReadOnlyError)

# What is said of one that has a part of the keys.
CLUSTER_NODE = (
    "a node of a Redis Cluster, which keeps keys apart that change together: name a Redis of its "
    "own, or its sentinels."
)

# Waits some seconds for a message, None for a while; it may return early and without one.
Wait = Callable[[float | None], None]


def blocking_pool(url: str, size: int = 16) -> redis.BlockingConnectionPool:
    """Return a pool of at most `size` connections."""
    options = {**_client_options(), **connection_options(url)}
    pool: Callable[..., redis.BlockingConnectionPool] = redis.BlockingConnectionPool
    return pool(max_connections=size, timeout=ANSWER_TIMEOUT, **options)


class _Packer(HiredisRespSerializer):
    """Packs commands, and what `text_of` has read of foreign bytes as the bytes that it was."""

    def pack(self, *args: Any) -> Any:
        try:
            return super().pack(*args)
        except UnicodeEncodeError:
            return super().pack(*map(_bytes_of, args))


def _bytes_of(value: Any) -> Any:
    return value.encode(errors="surrogateescape") if isinstance(value, str) else value


def _client_options() -> dict[str, Any]:
    # The first command after a restart of Redis finds a dead connection, and the first write
    # after a failover may find a server that has become a replica: connect again.
    return {
        "retry": Retry(ExponentialWithJitterBackoff(cap=0.5, base=0.05), 2, RETRIED_ERRORS),
        "retry_on_error": list(RETRIED_ERRORS),
        "command_packer": _Packer(),
        **CONNECTION_OPTIONS,
    }


def without_secret(url: str) -> str:
    """Return a Redis url without its password, fit for a message."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def require_redis(url: str) -> None:
    """Raise StoreUnavailable, and do so soon, unless there is a Redis that answers."""
    client: Any = open_client(url, retry=Retry(NoBackoff(), 0), **QUICK)
    with _translated_errors(url), client:
        client.ping()


@contextmanager
def _translated_errors(url: str) -> Iterator[None]:
    """Raise StoreUnavailable when a Redis does not do what it is asked in the block."""
    try:
        yield
    except (AskError, ClusterCrossSlotError, ClusterDownError) as error:
        raise StoreUnavailable(f"Redis at {without_secret(url)} is {CLUSTER_NODE}") from error
    except RedisError as error:
        # Without what was sent, which says nothing of why and differs each time.
        reason = str(error).rpartition(" of pipeline caused error: ")[2].rstrip(".")
        raise StoreUnavailable(
            f"Redis at {without_secret(url)} failed: {reason}. Is it running, and is "
            'MOI["REDIS_URL"] (or MOI_REDIS_URL) right?'
        ) from error


class _Listeners:
    """Connections that listen, apart from those that ask: any number may wait for a job.

    redis-py closes the connection of a pubsub with it, and to connect takes as long as several
    commands: some are kept.
    """

    def __init__(self, url: str) -> None:
        # Its pubsub() has no types.
        self._client: Any = open_client(url, **_client_options())
        # Those that are kept, each with the time since when and the process that uses it.
        self._idle: deque[tuple[Any, float, int]] = deque(maxlen=MAX_IDLE_LISTENERS)

    @contextmanager
    def subscribe(self, channel: str) -> Iterator[Any]:
        """Give a pubsub that is subscribed to a channel."""
        pubsub = self._take()
        try:
            pubsub.subscribe(channel)
            yield pubsub
            self._keep(pubsub)
        except BaseException:
            pubsub.close()
            raise

    def _take(self) -> Any:
        while self._idle:
            try:
                pubsub, since, pid = self._idle.pop()
            except IndexError:  # another thread was first
                break
            if pid == os.getpid() and time.monotonic() < since + LISTENER_EXPIRY:
                return pubsub
            pubsub.close()
        return self._client.pubsub()

    def _keep(self, pubsub: Any) -> None:
        """Keep one that hears no more of its channel."""
        pubsub.unsubscribe()
        deadline = time.monotonic() + LISTEN_TIMEOUT
        while pubsub.subscribed and time.monotonic() < deadline:
            pubsub.get_message(timeout=LISTEN_TIMEOUT)
        if pubsub.subscribed:
            pubsub.close()
        else:
            self._idle.append((pubsub, time.monotonic(), os.getpid()))

    def disconnect(self) -> None:
        """Give all connections back to the system."""
        while self._idle:
            self._idle.pop()[0].close()
        self._client.close()
        self._client.connection_pool.disconnect()


def _disconnect(client: redis.Redis, listeners: _Listeners) -> None:
    client.close()
    client.connection_pool.disconnect()
    listeners.disconnect()


class Connection:
    """A client of one Redis, shared by all threads and by the parts of a store."""

    def __init__(self, config: StoreConfig) -> None:
        self.config = config
        self.keys = Keys(config.prefix)
        self.redis = redis.Redis(connection_pool=blocking_pool(config.url))
        self._listeners = _Listeners(config.url)
        self._scripts: dict[str, Script] = {}
        # redis-py's pools are in cycles, of which sockets may be collected before who closes them.
        weakref.finalize(self, _disconnect, self.redis, self._listeners).atexit = False

    def renew(self) -> None:
        """Ask over new connections from now on: idle ones may lead to what was made a replica."""
        self.redis.connection_pool.disconnect(inuse_connections=False)

    def disconnect(self) -> None:
        """Give all connections back to the system."""
        _disconnect(self.redis, self._listeners)

    def translated_errors(self) -> AbstractContextManager[None]:
        """Raise StoreUnavailable when Redis does not do what it is asked in the block."""
        return _translated_errors(self.config.url)

    def run_script(self, name: str, keys: Mapping[str, Any], args: Mapping[str, Any]) -> Any:
        """Run `lua/<name>.lua` with its keys and arguments by name; return what it returns."""
        return self.run_scripts([ScriptCall(name, keys, args)])[0]

    def run_at_once(self, calls: Sequence[ScriptCall]) -> list[Any]:
        """Run scripts with nothing between them, all or none; return what each returns."""
        with self.translated_errors():
            pipeline = self.redis.pipeline(transaction=True)
            # One that Redis does not know would fail alone.
            scripts = {self._script(call) for call in calls}
            for script in scripts:
                script.load(pipeline)
            for call in calls:
                self._script(call).queue(pipeline, call)
            return pipeline.execute()[len(scripts) :]

    def run_scripts(self, calls: Sequence[ScriptCall]) -> list[Any]:
        """Run scripts one after the other in one round trip; return what each returns."""
        with self.translated_errors():
            if len(calls) == 1:
                return [self._script(calls[0])(self.redis, calls[0])]
            pipeline = self.redis.pipeline(transaction=False)
            for call in calls:
                self._script(call).queue(pipeline, call)
            answers = pipeline.execute(raise_on_error=False)
            return [
                self._script(call).result(self.redis, call, answer)
                for call, answer in zip(calls, answers, strict=True)
            ]

    def _script(self, call: ScriptCall) -> Script:
        if call.name not in self._scripts:
            self._scripts[call.name] = Script(call.name)
        return self._scripts[call.name]

    @property
    def queue_args(self) -> dict[str, Any]:
        """What scripts find queues with, besides their names."""
        return {"prefix": self.keys.prefix, "lifetime": self.config.expire}

    def server_time(self) -> float:
        """Return the time by the clock of Redis, in seconds since 1970."""
        with self.translated_errors():
            seconds, micros = self.redis.time()
        return float(seconds + micros / 1e6)

    def server_uptime(self) -> float:
        """Return for how many seconds Redis has been up."""
        with self.translated_errors():
            info: Any = self.redis.info("server")
        return float(info["uptime_in_seconds"])

    @contextmanager
    def subscribe(self, channel: str) -> Iterator[Any]:
        """Give a pubsub that is subscribed to a channel."""
        with self.translated_errors(), self._listeners.subscribe(channel) as pubsub:
            yield pubsub

    @contextmanager
    def listen(self, channel: str) -> Iterator[Wait]:
        """Subscribe to a channel; the function given waits some seconds for the next message.

        It may return early and without one: read what you want to know after each call.
        """
        with self.subscribe(channel) as pubsub:
            # Its confirmation: from here on nothing is missed.
            pubsub.get_message(timeout=LISTEN_TIMEOUT)

            def wait(seconds: float | None) -> None:
                limit = LISTEN_TIMEOUT if seconds is None else min(seconds, LISTEN_TIMEOUT)
                pubsub.get_message(timeout=limit)

            yield wait
