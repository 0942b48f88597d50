"""Say in `moi up` what becomes of jobs."""

import asyncio
import json
from collections.abc import Callable

from redis.exceptions import RedisError

from moi_django.bridge.async_redis import open_client
from moi_django.conf import conf
from moi_django.contrib.command_line.text_report import escape_terminal
from moi_django.exceptions import MoiError
from moi_django.models import Info
from moi_django.store import Store, StoreConfig
from moi_django.validation import is_id

# How many jobs are remembered with the status that was announced last.
REMEMBERED = 10_000


class JobNews:
    """Announces each job when its status is another; `announce` takes a line."""

    def __init__(self, announce: Callable[[str], object]) -> None:
        self._announce = announce

    async def follow(self, url: str) -> None:
        """Tell of jobs, whatever becomes of the connection."""
        store = Store(StoreConfig(url, conf.KEY_PREFIX, conf.EXPIRE))
        told: dict[str, str] = {}
        while True:
            try:
                await self._read_job_changes(store, told)
            except (RedisError, MoiError, OSError) as error:
                self._announce(f"redis    does not answer: {error}")
                await asyncio.sleep(1)

    async def _read_job_changes(self, store: Store, told: dict[str, str]) -> None:
        client = open_client(store.config.url)
        async with client, client.pubsub() as heard:
            await heard.psubscribe(store.keys.channel("*"))
            while True:
                message = await heard.get_message(timeout=1.0)
                if message is not None and message["type"] == "pmessage":
                    for info in await asyncio.to_thread(
                        store.jobs.get_many, _message_ids(message["data"])
                    ):
                        self._announce_job(info, told)

    def _announce_job(self, info: Info | None, told: dict[str, str]) -> None:
        """Print a job whose status is news."""
        if info is None or info.is_group or told.get(info.id) == info.status:
            return
        told.pop(info.id, None)
        told[info.id] = info.status
        if len(told) > REMEMBERED:
            del told[next(iter(told))]
        why = f" · {_short_line(info.error_line, 200)}" if info.error_line else ""
        self._announce(
            f"job      {info.id}  {_short_line(info.name, 40)}: {_short_line(info.status, 60)}{why}"
        )


def _message_ids(data: bytes) -> list[str]:
    try:
        verbs = json.loads(data)
        lists = [ids for ids in verbs.values() if isinstance(ids, list)]
        return [id for ids in lists for id in ids if is_id(id)]
    except (ValueError, AttributeError, RecursionError):
        return []  # somebody else's message; the bridge is who warns of it


def _short_line(text: str, length: int) -> str:
    """Return a text as one short line that cannot steer a terminal."""
    clean = escape_terminal(text)
    return clean if len(clean) <= length else clean[: length - 1] + "…"
