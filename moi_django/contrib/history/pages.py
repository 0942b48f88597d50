"""The page of a job that has left Redis, made from what the history keeps."""

from dataclasses import replace
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import render

from moi_django import authorization, owners
from moi_django.contrib.history.models import PastJob
from moi_django.contrib.job_pages.attempts import attempts_of
from moi_django.contrib.job_pages.crumbs import Crumb, crumbs_of
from moi_django.contrib.job_pages.json_pages import info_response, wants_json
from moi_django.contrib.job_pages.results import preview_result
from moi_django.models import Info
from moi_django.pages.status_div import Row
from moi_django.site_store import get_store


def render_past_job(request: HttpRequest, id: str) -> HttpResponseBase | None:
    """Return the page of a job that has left Redis; None if a user may not see one.

    Raises StoreUnavailable.
    """
    job = PastJob.objects.filter(pk=id).first()
    if job is None or get_store().jobs.get(id) is not None or not _may_view(request.user, job):
        return None
    info = job.info
    if wants_json(request):
        return info_response(request, info)
    shown = {
        "job": job,
        "info": info,
        "row": Row(info),
        "crumbs": _way_up(request.user, job),
        "attempts": attempts_of(info),
        "is_staff": getattr(request.user, "is_staff", False),
        # One that was too long to be kept as it was is shown by its beginning.
        "result": None if info.result is None else preview_result(info, {}),
    }
    return render(request, "moi_django/history/job.html", shown)


def _way_up(user: Any, job: PastJob) -> list[Crumb]:
    """Return the groups that it was in: as links, unless some of them are gone."""
    info = _as_of_present_tree(user, job)
    crumbs = crumbs_of(user, info)
    return crumbs if len(crumbs) == len(info.ancestors) or not job.group else [Crumb(job.group)]


def _may_view(user: Any, job: PastJob) -> bool:
    return authorization.allowed(user, "view", _as_of_present_tree(user, job))


def _as_of_present_tree(user: Any, job: PastJob) -> Info:
    """Return the info object of a user's own job as of the tree that this user has now.

    With all that Redis held it may have lost who had which tree, which then is another one.
    """
    info = job.info
    root = owners.find_root_id(user) if user.pk is not None and user.pk == job.user_id else None
    return replace(info, path=":".join([root, *info.path.split(":")[1:]])) if root else info
