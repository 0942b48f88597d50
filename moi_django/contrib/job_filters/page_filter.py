"""The filter of a page: read from its address, or from that of its websocket."""

import re
from dataclasses import dataclass, replace
from typing import Any

from django.http import QueryDict

from moi_django.conf import conf
from moi_django.contrib.job_filters import job_filter
from moi_django.contrib.job_filters.filtered_viewport import FilteredViewport
from moi_django.contrib.job_filters.job_filter import JobFilter
from moi_django.contrib.job_filters.search import find_jobs
from moi_django.models import BAR_PARTS, Info
from moi_django.pages.status_div import Row, StatusDiv, fill_div
from moi_django.site_store import get_store

_COUNT = re.compile(r"[1-9][0-9]{0,5}")


@dataclass(frozen=True, slots=True)
class PageFilter(JobFilter):
    """What a page wants to see, and how it gets it."""

    def build_div(self, user: Any, root: str, limit: int) -> StatusDiv:
        """Return what a user may see of that: jobs, whatever groups they are in."""
        found = find_jobs(root, self, limit)
        div = fill_div(user, found.page, limit)
        rows = [] if div.problem else _make_rows(found.page.infos)
        return replace(div, filter=self, rows=rows, older=found.left, is_cut=found.is_cut)

    def make_viewport(self, root: str, top: int, rows: int) -> FilteredViewport:
        """Return what the page shows of a tree that it watches."""
        return FilteredViewport(root, top, rows, self)


@dataclass(slots=True)
class FoundRow(Row):
    """A job in a list without its groups."""

    # Names of the groups around it, within the one that is shown.
    around: tuple[str, ...] = ()


def _make_rows(infos: list[Info]) -> list[Row]:
    """Return the rows of jobs after the group below which they are."""
    root, *jobs = infos
    outer = {*root.ancestors, root.id}
    above = {info.id: [id for id in info.ancestors if id not in outer] for info in jobs}
    groups = get_store().jobs.get_many(list({id for ids in above.values() for id in ids}))
    names = {group.id: group.name for group in groups if group is not None}
    return [
        FoundRow(
            info,
            place=conf.describe_place(info),
            around=tuple(names[id] for id in above[info.id] if id in names),
        )
        for info in jobs
    ]


def parse_filter(query: QueryDict) -> PageFilter:
    """Return what the query of an address says; what is no sense is left out."""
    ours = (job_filter.STATE, job_filter.NAME, job_filter.ORDER, job_filter.ROWS)
    part, text, order, rows = (query.get(name, "") for name in ours)
    return PageFilter(
        part=part if part in BAR_PARTS else "",
        text=text.strip()[: conf.NAME_LIMIT],
        running_first=order == job_filter.RUNNING,
        rows=min(int(rows), conf.SNAPSHOT_LIMIT) if _COUNT.fullmatch(rows) else 0,
        others=tuple((key, it) for key, its in query.lists() for it in its if key not in ours),
    )
