"""Look at all that jobs need, and say of each part whether it is well, and what to do if not.

It takes two seconds at most, also when Redis or a controller hangs: what has not answered by then
is not well.
"""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from redis.backoff import NoBackoff
from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError
from redis.retry import Retry

from moi_django.cluster.connections import (
    ELASTIC_HINT,
    connection_file,
    get_connection,
    may_be_empty,
    require_listener,
)
from moi_django.conf import conf
from moi_django.contrib.health.heartbeat import LIFETIME, seconds_since_reconciled
from moi_django.exceptions import ClusterUnavailable, MoiError
from moi_django.presentation.formatting import format_duration
from moi_django.site_store import get_store
from moi_django.store import policy
from moi_django.store.connection import QUICK, without_secret
from moi_django.store.redis_url import open_client

# Seconds for Redis, and for all of it: to connect to a controller takes longest.
REDIS_TIMEOUT, TIMEOUT = 0.9, 1.7
# Name of the threads that look.
THREAD = "moi-health"
# Seconds without a trace of a reconciler that are nothing yet: one by cron comes each minute.
MAX_RECONCILER_AGE = 90.0
START = "start some with `ipcluster engines`, or all of it with `python manage.py moi up`"
START_CONTEXT = "start some with `python manage.py moi cluster start --context={}`"
SILENT_CONTROLLER = "see whether the controller of {!r} hangs, and the network to it"
SLOW = "see what Redis is busy with"


@dataclass(frozen=True, slots=True)
class Finding:
    """What is found of one part."""

    part: str
    ok: bool
    # How it is, and what to do when that is not well.
    text: str
    advice: str = ""


@dataclass(slots=True)
class _Look:
    """A look at one part, by a thread that nobody waits for any longer than the timeout."""

    part: str
    examine: Callable[[], Finding]
    # What to do when there is no answer.
    advice: str
    found: list[Finding] = field(default_factory=list)

    def start(self) -> threading.Thread:
        thread = threading.Thread(target=self._run, name=THREAD, daemon=True)
        thread.start()
        return thread

    def _run(self) -> None:
        try:
            self.found.append(self.examine())
        except MoiError as error:  # which says what to do
            self.found.append(Finding(self.part, False, str(error).rstrip(".")))

    @property
    def finding(self) -> Finding:
        late = Finding(self.part, False, "does not answer in time", self.advice)
        return self.found[0] if self.found else late


def examine_all() -> list[Finding]:
    """Return what is found of each part; of Redis alone when that is not well."""
    deadline = time.monotonic() + TIMEOUT
    found = examine_redis()
    if not found.ok:
        return [found]
    looks = [_Look("reconciler", _examine_reconciler, SLOW)]
    for name in conf.CONTEXTS:
        advice = SILENT_CONTROLLER.format(name)
        looks.append(_Look(f"engines {name}", partial(_examine_engines, name), advice))
    for name in conf.CONTEXTS:
        looks.append(_Look(f"queue {name}", partial(_examine_queue, name), SLOW))
    return [found, *_take(looks, deadline)]


def examine_redis() -> Finding:
    """Return whether Redis answers and takes writes."""
    look = _Look("redis", _examine_redis, "see whether it hangs")
    return _take([look], time.monotonic() + REDIS_TIMEOUT)[0]


def _take(looks: Sequence[_Look], deadline: float) -> list[Finding]:
    """Let threads look, all at once; return what they have found by then."""
    for thread in [look.start() for look in looks]:
        thread.join(max(0.0, deadline - time.monotonic()))
    return [look.finding for look in looks]


def _examine_redis() -> Finding:
    url = conf.redis_url
    where = f"Redis at {without_secret(url)}"
    client = open_client(url, retry=Retry(NoBackoff(), 0), **QUICK)
    try:
        with client:
            pipeline = client.pipeline()
            pipeline.hset(get_store().keys.metrics, "written", "")
            pipeline.expire(get_store().keys.metrics, LIFETIME)
            pipeline.execute()
    except ReadOnlyError:
        return Finding("redis", False, f"{where} is a replica", "name the primary in REDIS_URL")
    except OutOfMemoryError:
        advice = "give it more memory, or lower EXPIRE: no job can be submitted"
        return Finding("redis", False, f"{where} is full", advice)
    except RedisError as error:
        advice = "see whether it runs, and whether MOI['REDIS_URL'] (or MOI_REDIS_URL) is right"
        return Finding("redis", False, f"{where} failed: {error}".rstrip("."), advice)
    return Finding("redis", True, "answers and takes writes")


def _examine_reconciler() -> Finding:
    age = seconds_since_reconciled()
    if age is not None and age <= MAX_RECONCILER_AGE:
        return Finding("reconciler", True, f"has looked after jobs {format_duration(age)} ago")
    ago = "never" if age is None else f"not for {format_duration(age)}"
    advice = "keep `python manage.py moi reconcile` running: without it lost jobs get no end"
    return Finding("reconciler", False, f"has looked after jobs {ago}", advice)


def _examine_engines(context: str) -> Finding:
    part, engines = f"engines {context}", get_connection(context).engine_ids()
    if engines is None:
        advice = SILENT_CONTROLLER.format(context)
        return Finding(part, False, "the controller does not answer", advice)
    if not engines:
        return _examine_none(context, part)
    text = f"{len(engines)} engine{'s' * (len(engines) != 1)}"
    refusals = get_store().engines.refusals()
    if not (unfit := sorted(engines & refusals.keys())):
        return Finding(part, True, text)
    text += f", {len(unfit)} of which take{'s' * (len(unfit) == 1)} no job: {refusals[unfit[0]]}"
    return Finding(part, len(unfit) < len(engines), text, "see `python manage.py moi doctor`")


def _examine_none(context: str, part: str) -> Finding:
    file = connection_file(context)
    if may_be_empty(context) and file.exists():
        with suppress(ClusterUnavailable):
            require_listener(context, file)
            return Finding(part, True, f"there are none now: {ELASTIC_HINT}")
    has_launcher = conf.CONTEXTS[context].get("LAUNCHER")
    advice = START_CONTEXT.format(context) if has_launcher else START
    return Finding(part, False, "there are none", advice)


def _examine_queue(context: str) -> Finding:
    store, part = get_store(), f"queue {context}"
    waiting, first = store.queue.waiting_count(context), store.queue.longest_waiting(context)
    if first is None:
        return Finding(part, True, "nothing waits")
    waited = first.waited_seconds(store.connection.server_time())
    text = f"{waiting:,} wait{'s' * (waiting == 1)}, the first for {format_duration(waited)}"
    if policy.paused(context) in store.policy.read():
        return Finding(part, True, f"{text}; it is paused")
    limit = conf.HEALTH_MAX_WAIT
    if limit is not None and waited > limit:
        advice = f"start more engines; MOI['HEALTH_MAX_WAIT'] is {limit:g} s"
        return Finding(part, False, text, advice)
    return Finding(part, True, text)
