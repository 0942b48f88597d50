"""Find out what is active where a job is submitted, and make it active where that runs."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

from django.utils import timezone, translation
from django.utils.module_loading import import_string

from moi_django.conf import conf
from moi_django.engine.current import CurrentJob, current_job
from moi_django.options import Options

logger = logging.getLogger(__name__)


def with_caller(options: Options) -> Options:
    """Return options that say what is active here where they say nothing of it."""
    active = {
        "language": translation.get_language(),
        # A fixed offset has none.
        "time_zone": getattr(timezone.get_current_timezone(), "key", None),
        "request_id": _request_id(),
    }
    said: dict[str, Any] = {name: value or active[name] for name, value in options.caller.items()}
    return replace(options, **said)


@contextmanager
def as_caller(job: CurrentJob) -> Iterator[None]:
    """Let what a job has taken over be active in the block."""
    source = _request_id_source()
    if isinstance(source, ContextVar):
        source.set(job.request_id)
    language = job.language or translation.get_language()
    with translation.override(language), timezone.override(_find_zone(job.time_zone)):
        yield


def _request_id() -> str | None:
    """Return the id of the request that is served here, or for which the present job is."""
    source, job = _request_id_source(), current_job()
    found = source.get(None) if isinstance(source, ContextVar) else source and source()
    if found is None:
        return job.request_id if job else None
    # It may come from a header.
    return "".join(filter(str.isprintable, str(found)))[:200] or None


def _request_id_source() -> Any:
    given = conf.REQUEST_ID
    return import_string(given) if isinstance(given, str) else given


def _find_zone(name: str | None) -> ZoneInfo | None:
    try:
        return None if name is None else ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        logger.warning("There is no time zone %r here: that of the site holds", name)
        return None
