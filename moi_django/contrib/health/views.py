"""Health by url: a word for load balancers, and what operators see.

Asked as often as anybody likes, a process looks once in a second, beside the threads that serve
pages.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Generic, TypeVar

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse, JsonResponse

from moi_django.contrib.health import access
from moi_django.contrib.health.report import Finding, examine_all, examine_redis

# Seconds for which an answer holds.
TTL = 1.0

T = TypeVar("T")


class Kept(Generic[T]):
    """The answer of a function, asked for once in `TTL` seconds, however many want it."""

    def __init__(self, ask: Callable[[], T]) -> None:
        self._ask, self._lock = ask, threading.Lock()
        self._answer: tuple[float, T] | None = None

    def get(self) -> T:
        """Return the answer; while another thread asks, that of the last time."""
        before = self._answer
        if before is not None and not self._lock.acquire(blocking=False):
            return before[1]
        if before is None:
            self._lock.acquire()
        try:
            if self._answer is None or time.monotonic() >= self._answer[0]:
                answer = self._ask()
                self._answer = (time.monotonic() + TTL, answer)
            return self._answer[1]
        finally:
            self._lock.release()


_redis, _all = Kept[Finding](examine_redis), Kept[list[Finding]](examine_all)


@access.monitoring_view
async def live(request: HttpRequest) -> HttpResponse:
    """Answer, which says that this process serves; nothing else is asked for that."""
    return _word(is_well=True)


@access.monitoring_view
async def ready(request: HttpRequest) -> HttpResponse:
    """Say whether this process can do its work: whether it reaches a Redis that takes writes."""
    found = await sync_to_async(_redis.get, thread_sensitive=False)()
    return _word(found.ok)


@access.operator_view
async def details(request: HttpRequest) -> HttpResponse:
    """Say what `moi health` does, to who may know."""
    found = await sync_to_async(_all.get, thread_sensitive=False)()
    is_well = all(finding.ok for finding in found)
    data = {"ok": is_well, "findings": [asdict(finding) for finding in found]}
    return JsonResponse(data, status=_status(is_well))


def _word(is_well: bool) -> HttpResponse:
    text = "ok\n" if is_well else "unavailable\n"
    return HttpResponse(text, status=_status(is_well), content_type="text/plain")


def _status(is_well: bool) -> int:
    return 200 if is_well else 503
