"""End tasks and connections of Redis in an event loop, and keep subscriptions in line."""

import asyncio
import logging
from collections.abc import Callable, Set
from contextlib import suppress
from typing import Any

import redis.asyncio

from moi_django.store.connection import CONNECTION_OPTIONS
from moi_django.store.redis_url import get_sentinels

logger = logging.getLogger(__name__)


def open_client(url: str) -> Any:
    """Return a client of what a url names."""
    if (sentinels := get_sentinels(url)) is None:
        return redis.asyncio.Redis.from_url(url, **CONNECTION_OPTIONS)
    options = {**CONNECTION_OPTIONS, **sentinels.async_connection_options()}
    return redis.asyncio.Redis.from_pool(redis.asyncio.ConnectionPool(**options))


async def cancel_tasks(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks that use Redis, and return when they have ended.

    A cancellation that meets a connection being made, or a command being sent, can get lost in it,
    so it is repeated: soon, and then less and less often.
    """
    running, patience = set(tasks), 0.01
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=patience)
        patience = min(2 * patience, 0.3)


def raise_if_cancelled() -> None:
    """Raise CancelledError in a task that was cancelled while something that it called lost that.

    Who cancels all tasks of a loop, as asyncio does when it ends, does so once, and waits.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def log_end(task: asyncio.Task[None]) -> None:
    """Say so when a part of the bridge has ended by itself, which is a mistake of ours."""
    if not task.cancelled() and task.exception() is not None:
        logger.error("The bridge has stopped", exc_info=task.exception())


async def close_clients(*clients: Any) -> None:
    """Close pubsubs and clients of Redis to the end, also when every task is cancelled meanwhile.

    That of closing, too: it is then begun again.
    """
    for client in clients:
        closing = None
        while closing is None or closing.cancelled():
            closing = asyncio.ensure_future(client.aclose())
            while not closing.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.shield(closing)


async def align_subscriptions(
    pubsub: Any, want: Set[str], have: set[str], channel: Callable[[str], str]
) -> None:
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
