"""Write the ends of jobs into the database."""

import json
import logging
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db import connections, router, transaction
from django.utils import timezone

from moi_django import owners
from moi_django.contrib.events import JobEvent
from moi_django.contrib.events.rows import write_rows
from moi_django.contrib.history.models import MAX_NAME, MAX_TEXT, PastAttempt, PastJob
from moi_django.models import Attempt, Info, State, error_line_of, timestamp
from moi_django.site_store import get_store

logger = logging.getLogger(__name__)

# How much of a result is kept, in characters of JSON.
PREVIEW = 10_000
# Seconds since 1970 of the year 9999.
LAST_SECOND = 253_370_764_800.0


def record_events(events: Sequence[JobEvent]) -> None:
    """Keep what jobs came to.

    A result that was too long for an event is taken from Redis, if the job is still there. Raises
    OperationalError when the database is away, StoreUnavailable when Redis is.
    """
    ended = [event for event in events if event.info.finished]
    if not ended:
        return
    cut = [event.info.id for event in ended if event.result_omitted]
    present = {info.id: info for info in get_store().jobs.get_many(cut) if info is not None}
    record_jobs(present.get(event.info.id, event.info) for event in ended)


def record_jobs(infos: Iterable[Info]) -> int:
    """Keep jobs that have ended, each as it was last; return how many are new or have changed."""
    latest: dict[str, Info] = {}
    for info in infos:
        if info.finished and info.version >= latest.get(info.id, info).version:
            latest[info.id] = info
    rows = _rows_of(list(latest.values()))
    known = dict(PastJob.objects.filter(pk__in=rows).values_list("id", "version"))
    fresh = {id: row for id, row in rows.items() if row.version > known.get(id, 0)}
    return write_rows(_write, list(fresh.values()), _refuse)


def _refuse(row: PastJob) -> None:
    logger.exception("Cannot keep job %s in the history", row.id, extra={"job_id": row.id})


def _write(rows: Sequence[PastJob]) -> None:
    """Write jobs and the attempts at them, in the place of what is there of them."""
    using = router.db_for_write(PastJob)
    fields = [field.attname for field in PastJob._meta.concrete_fields if not field.primary_key]
    conflict: dict[str, Any] = {"update_conflicts": True, "update_fields": fields}
    if connections[using].features.supports_update_conflicts_with_target:
        conflict["unique_fields"] = ["id"]
    attempts = [attempt for row in rows for attempt in _attempts_of(row)]
    with transaction.atomic(using=using):
        PastJob.objects.using(using).bulk_create(rows, **conflict)
        # One that is kept already stays as it is: an attempt ends once.
        PastAttempt.objects.using(using).bulk_create(attempts, ignore_conflicts=True)


def _rows_of(infos: list[Info]) -> dict[str, PastJob]:
    """Return a row for each job, with its owner and its groups as far as they are still known."""
    roots = {info.owner for info in infos}
    names, users = owners.display_names(roots), owners.users_by_group(roots)
    above = list({group for info in infos for group in info.ancestors})
    groups = {each.id: each.name for each in get_store().jobs.get_many(above) if each is not None}
    return {
        info.id: _row_of(info, users.get(info.owner), names[info.owner], groups) for info in infos
    }


def _row_of(info: Info, user: Any, owner: str, groups: dict[str, str]) -> PastJob:
    path = [groups[each] for each in info.ancestors[1:] if each in groups]
    return PastJob(
        id=info.id,
        name=_storable(info.name)[:MAX_NAME],
        context=_storable(info.context or "")[:MAX_NAME],
        state=str(info.state),
        user_id=None if user is None else user.pk,
        owner=_storable(owner)[:MAX_NAME],
        group=_storable(" \N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK} ".join(path))[:MAX_TEXT],
        created=as_time(info.date_created),
        started=as_time(info.date_start),
        ended=as_time(info.date_end) or timezone.now(),
        waited=info.waited_seconds(),
        ran=info.ran_seconds(),
        cpu_seconds=info.cpu_seconds,
        peak_memory=_as_integer(info.peak_memory),
        error=_error(info)[:MAX_TEXT],
        exception=_storable(info.exception or "")[:MAX_NAME],
        result_preview=_preview(info),
        version=info.version,
        record=info.to_wire(PREVIEW),
    )


def _attempts_of(row: PastJob) -> list[PastAttempt]:
    info = row.info
    last = Attempt(
        *(info.attempt, info.state or State.FAILED, info.date_start, info.date_end, row.error),
        *(info.cpu_seconds, info.peak_memory, info.engine, info.exception),
    )
    # One that was cancelled before it began was no attempt.
    made = [*info.runs, *([last] if info.date_start else [])]
    return [
        PastAttempt(
            job_id=row.id,
            number=each.attempt,
            state=str(each.state),
            started=as_time(each.date_start),
            ended=as_time(each.date_end),
            engine=_storable(each.ran_on or "")[:MAX_NAME],
            cpu_seconds=each.cpu_seconds,
            peak_memory=_as_integer(each.peak_memory),
            error=_storable(each.error)[:MAX_TEXT],
            exception=_storable(each.exception or "")[:MAX_NAME],
        )
        for each in made
    ]


def as_time(date: str | None) -> datetime | None:
    """Return a time of an info object as this site's database has it; None for none."""
    seconds = timestamp(date)
    # Another program may have written what no zone can show.
    if not 0 < seconds < LAST_SECOND:
        return None
    time = datetime.fromtimestamp(seconds, UTC)
    return time if settings.USE_TZ else timezone.make_naive(time, timezone.get_default_timezone())


def _as_integer(number: float | None) -> int | None:
    return None if number is None else int(number)


def _error(info: Info) -> str:
    """Return what the traceback of a job says last; nothing for one that succeeded."""
    if info.state is State.SUCCESS or not isinstance(info.result, str):
        return ""
    return _storable(error_line_of(info.result))


def _preview(info: Info) -> str:
    if info.result is None:
        return ""
    if isinstance(info.result, str) and info.state is not State.SUCCESS:
        # Of a traceback the end matters.
        return _storable(info.result[-PREVIEW:])
    return _storable(json.dumps(info.result, ensure_ascii=False)[:PREVIEW])


def _storable(text: str) -> str:
    """Return a text without what some databases refuse: NUL, and halves of surrogate pairs."""
    return text.replace("\0", "\N{SYMBOL FOR NULL}").encode(errors="replace").decode()
