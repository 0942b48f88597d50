"""What the list of the panel says of each job: its groups, why it failed or waits, and for what."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from moi_django import authorization
from moi_django.conf import conf
from moi_django.contrib.monitoring.job_search import JobSummary
from moi_django.models import Info, State, error_line_of
from moi_django.site_store import get_store
from moi_django.validation import text_of

# How many are named of what a job waits for.
NAMED = 3
# How many of the jobs are looked at that wait for one.
MAX_CHILDREN = 1_000


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job in the list."""

    summary: JobSummary
    # The groups that it is in, from below the root group on.
    groups: list[Info]
    # Jobs and groups that it still waits for, and how many jobs wait for it.
    parents: list[Info]
    children: int

    @property
    def info(self) -> Info:
        """The job itself."""
        return self.summary.info

    @property
    def error(self) -> str:
        """Why it or its last attempt did not succeed, in one line."""
        info = self.info
        if info.state is State.CANCELLED and isinstance(info.result, str):
            return error_line_of(info.result)
        if info.runs and not info.finished:
            return info.runs[-1].error
        return info.error_line or ""

    @property
    def more_parents(self) -> int:
        """How many of what it waits for are not named."""
        return max(0, len(self.parents) - NAMED)

    @property
    def place(self) -> str:
        """Where it stands in its queue, or what holds it there."""
        return "" if self.parents else conf.describe_place(self.info)


def build_rows(user: Any, summaries: Sequence[JobSummary]) -> list[JobRow]:
    """Return the rows of jobs, with what a user may see of what they belong together with."""
    waits, children = _edges([each.info for each in summaries])
    groups = {each.info.id: each.info.ancestors[1:] for each in summaries}
    wanted = dict.fromkeys(id for ids in (groups, waits, children) for id in _all_of(ids))
    known = {info.id: info for info in get_store().jobs.get_many(list(wanted)) if info is not None}
    # Who comes here may see all, but for what the site has to say about it.
    seen = {
        id: info
        for id, info in known.items()
        if not conf.AUTHORIZE or authorization.allowed(user, "view", info)
    }

    def among(ids: Sequence[str]) -> list[Info]:
        return [seen[id] for id in ids if id in seen]

    return [
        JobRow(
            summary=each,
            groups=among(groups[each.info.id]),
            parents=among(waits.get(each.info.id, ())),
            children=sum(not info.finished for info in among(children.get(each.info.id, ()))),
        )
        for each in summaries
    ]


def _all_of(ids_by_job: dict[str, list[str]]) -> list[str]:
    return [id for ids in ids_by_job.values() for id in ids]


def _edges(infos: Sequence[Info]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Return by job the ids of what it still waits for, and of the jobs that may wait for it."""
    connection = get_store().connection
    waiting = [info.id for info in infos if info.state is State.QUEUED and info.after]
    awaited = [info.id for info in infos if not info.finished]
    with connection.translated_errors():
        pipeline = connection.redis.pipeline(transaction=False)
        for id in waiting:
            pipeline.smembers(connection.keys.waits(id))
        for id in awaited:
            pipeline.srandmember(connection.keys.children(id), MAX_CHILDREN)
        answers = [sorted(map(text_of, raw or ())) for raw in pipeline.execute()]
    return (
        dict(zip(waiting, answers, strict=False)),
        dict(zip(awaited, answers[len(waiting) :], strict=True)),
    )
