"""What is told of a job or a group, as JSON can carry it."""

from collections import Counter
from collections.abc import Sequence
from typing import Any
from urllib.parse import urljoin

from django.urls import NoReverseMatch, reverse

from moi_django.contrib.notify.conf import setting
from moi_django.models import BAR_PARTS, Info, error_line_of, timestamp
from moi_django.pages.page_urls import row_link

# Characters of an error, and names of jobs that did not succeed.
MAX_NAMES = 20


def absolute_url(path: str | None) -> str:
    """Return the address of a page of the site; empty without one, or where nobody knows it."""
    base = setting("BASE_URL")
    found = urljoin(f"{base.rstrip('/')}/", path) if path and base else path or ""
    return found if found.startswith(("http://", "https://")) else ""


def choice_url() -> str:
    """Return the address of the page on which users choose; empty where the site has none."""
    try:
        return absolute_url(reverse("moi_notify:choice"))
    except NoReverseMatch:
        return ""


def job_facts(info: Info, group_name: str = "") -> dict[str, Any]:
    """Return what is told of a job that has ended, perhaps in a group with a name."""
    is_failed = info.state in BAR_PARTS["failed"]
    facts = {
        "id": info.id,
        "name": info.name,
        "group": group_name,
        "state": info.state,
        "status": info.status,
        "context": info.context,
        "attempt": info.attempt,
        "date_created": info.date_created,
        "date_start": info.date_start,
        "date_end": info.date_end,
        "seconds": seconds_of(info.date_created, info.date_end),
        "exception": info.exception,
        "error": _error(info.result) if is_failed else "",
        "link": absolute_url(row_link(info)),
    }
    return {name: _storable(value) for name, value in facts.items()}


def group_facts(
    info: Info | None, id: str, totals: dict[str, int], jobs: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Return what is told of a group all of whose jobs have ended; `jobs` are those to be told of.

    `totals` are those of all its jobs, if the group is still there.
    """
    failed = [job["name"] for job in jobs if job["state"] in BAR_PARTS["failed"]]
    created = min((job["date_created"] or "" for job in jobs), default="")
    ended = max((job["date_end"] or "" for job in jobs), default="")
    return {
        "id": id,
        "name": _storable(info.name) if info else _name_from(jobs),
        "totals": totals or dict(Counter(job["state"] for job in jobs)),
        "ended": len(jobs),
        "failed": failed[:MAX_NAMES],
        "date_created": created,
        "date_end": ended,
        "seconds": seconds_of(created, ended),
        "link": absolute_url(row_link(info)) if info else "",
    }


def _name_from(jobs: Sequence[dict[str, Any]]) -> str:
    """Return what to call a group that is gone."""
    names = [job["group"] for job in jobs if job["group"]]
    return str([*names, jobs[-1]["name"]][0])


def seconds_of(begin: str | None, end: str | None) -> float:
    """Return the seconds from one time of an info object to another."""
    return max(0.0, timestamp(end) - timestamp(begin))


def _storable(value: Any) -> Any:
    """Return a value without what PostgreSQL takes in no text."""
    return value.replace("\0", "") if isinstance(value, str) else value


def _error(result: Any) -> str:
    return error_line_of(result) if isinstance(result, str) else ""
