"""Check what a new job or group is to be, and make its info object; nothing is written."""

import uuid
from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils.functional import Promise

from moi_django.conf import conf
from moi_django.engine.invocation import failure_text
from moi_django.exceptions import InvalidJob
from moi_django.models import GROUP, JOB, Info, State, format_date, now
from moi_django.options import MAX_PARENTS, Options
from moi_django.site_store import get_store
from moi_django.store.dependencies import waiting_status
from moi_django.validation import escape_surrogates, is_safe_url


def new_job_info(
    context: str,
    parent: Info,
    name: str,
    url: str | None,
    options: Options,
    python: str,
    id: str = "",
    parents: Collection[Info] = (),
) -> Info:
    """Return a queued job in a group, for engines with a version of Python, of this or a new id.

    It waits for its `parents`. Raises InvalidJob.
    """
    if options.limit is not None and not _is_limit(options.limit):
        known = ", ".join(map(repr, conf.LIMITS)) or "none"
        raise InvalidJob(f'Unknown limit {options.limit!r}: MOI["LIMITS"] has {known}.')
    code = conf.describe_code()
    return _new_info(
        JOB,
        parent,
        name,
        url,
        status=waiting_status([each.name for each in parents if not each.finished]),
        state=State.QUEUED,
        context=context,
        attempts=options.attempts,
        priority=options.priority,
        limit=options.limit,
        run_after=_begin_time(options.run_after),
        after=tuple(each.id for each in parents),
        on_failure=options.on_failure,
        unique=options.unique,
        notify=options.notify,
        language=options.language,
        python=python,
        code=code and code.digest,
        id=id,
    )


def _is_limit(name: str) -> bool:
    # Their keys in Redis are told apart by what such a name must not have.
    return name in conf.LIMITS and name.isprintable() and ":" not in name


def find_parents(given: Iterable[Any], group: Info) -> dict[str, Info]:
    """Return the jobs and groups that a job in a group is to wait for, by the ids that are given.

    They are handles or ids; of a job that was retried it is the one that runs instead. Raises
    InvalidJob when one is none of these or gone, or waits itself for what is in that group.
    """
    handles = [each for each in given if not isinstance(each, str)]
    if strange := [each for each in handles if not isinstance(getattr(each, "info", None), Info)]:
        raise InvalidJob(f"A job cannot wait for {strange[0]!r}: give jobs, groups or their ids.")
    # One that waits for the same commit is written before this one.
    known = {each.id: each.info for each in handles if getattr(each, "_awaits_commit", False)}
    ids = list(dict.fromkeys(each if isinstance(each, str) else each.id for each in given))
    if len(ids) > MAX_PARENTS:
        raise InvalidJob(f"A job waits for {MAX_PARENTS} at most: put more into a group.")
    store, parents = get_store(), dict[str, Info]()
    for id, info in zip(ids, store.jobs.get_many(ids), strict=True):
        if (found := info or known.get(id)) is None:
            raise InvalidJob(f"The job cannot wait for {id}, which is gone or never was.")
        while found.retried and (newer := store.jobs.get(found.retried)):
            found = newer
        parents[id] = found
    awaited = store.dependencies.awaited_by(list(parents.values())) if parents else set()
    if awaited & {group.id, *group.ancestors}:
        raise InvalidJob(
            "The job would wait for itself: it waits for a group that it is to be in, or for a job "
            "that does. Put it into another group."
        )
    return parents


def _begin_time(given: datetime | timedelta | None) -> str | None:
    time = datetime.now(UTC) + given if isinstance(given, timedelta) else given
    return None if time is None else format_date(time)


def new_group_info(parent: Info, name: str, url: str | None) -> Info:
    """Return a group in a group.

    Raises InvalidJob.
    """
    return _new_info(GROUP, parent, name, url)


def failed_at_submit(info: Info, error: Exception) -> Info:
    """Return a job that has failed because it cannot be sent."""
    if not isinstance(error, InvalidJob):  # which says by itself what to do
        error.add_note(
            "The function or its arguments cannot be pickled, so they cannot be sent to an engine: "
            "pass what they are made from instead (a path, a primary key), and open it in the job."
        )
    return info.ended(State.FAILED, result=failure_text(error, conf.RESULT_LIMIT))


def _new_info(
    type: str, parent: Info, name: str, url: str | None, id: str = "", **more: Any
) -> Info:
    id = id or str(uuid.uuid4())
    return Info(
        id=id,
        name=_checked_name(name),
        type=type,
        pubsub=f"{id}:pubsub",
        url=_checked_url(url),
        parent=parent.id,
        date_created=now(),
        path=f"{parent.path}:{id}",
        **more,
    )


def _checked_name(name: object) -> str:
    name = str(name) if isinstance(name, Promise) else name
    if not isinstance(name, str) or not name.strip():
        raise InvalidJob(f"{name!r} is no name for a job or a group: give some text.")
    return escape_surrogates(str.__str__(name))[: conf.NAME_LIMIT]


def _checked_url(url: object) -> str | None:
    # str() because reverse_lazy() is what settings and class attributes hold.
    text = str(url) if url is not None else None
    if text and not is_safe_url(text):
        raise InvalidJob(f"{text!r} cannot be linked to: give an http, https or relative url.")
    return text
