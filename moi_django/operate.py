"""The operator's panel: contexts, engines, plots and the jobs of all users, and what is done there.

To see it takes the permission `view_jobs`, to act in it `change_jobs` besides.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.template.response import TemplateResponse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext, ngettext_lazy

from moi_django import access, listing, plots
from moi_django.exceptions import InvalidJob, JobNotFound, MoiError, PayloadRefused
from moi_django.figures import Place
from moi_django.fleet import fleet
from moi_django.jobs import Job
from moi_django.models import Info, State
from moi_django.panel import Panel
from moi_django.site import store

logger = logging.getLogger(__name__)

# Hours that plots can show, the first one unless another is asked for.
HOURS = (6, 1, 24)
TITLE = _("Jobs of all users")


@dataclass(frozen=True, slots=True)
class Action:
    """What can be done with chosen jobs."""

    label: str | Promise
    # With the number of jobs as `n`.
    question: str | Promise
    done: str | Promise
    # Do it with one job; tell whether there was something to do.
    act: Callable[[str], bool]


def _cancel(id: str) -> bool:
    try:
        return store().cancel(id)[1]
    except JobNotFound:
        return False


def _remove(id: str) -> bool:
    return bool(store().remove(id))


def _retry(id: str) -> bool:
    try:
        return bool(Job.get(id).retry())
    except (InvalidJob, JobNotFound, PayloadRefused):
        return False


ACTIONS = {
    "cancel": Action(
        _("Cancel"),
        ngettext_lazy(
            "Cancel %(n)d job? What runs is interrupted.",
            "Cancel %(n)d jobs? What runs is interrupted.",
            "n",
        ),
        ngettext_lazy("%(n)d job cancelled.", "%(n)d jobs cancelled.", "n"),
        _cancel,
    ),
    "retry": Action(
        _("Retry"),
        ngettext_lazy(
            "Retry %(n)d job? What did not succeed is run again.",
            "Retry %(n)d jobs? What did not succeed is run again.",
            "n",
        ),
        ngettext_lazy("%(n)d job retried.", "%(n)d jobs retried.", "n"),
        _retry,
    ),
    "remove": Action(
        _("Remove"),
        ngettext_lazy(
            "Remove %(n)d job for good? What runs is interrupted.",
            "Remove %(n)d jobs for good? What runs is interrupted.",
            "n",
        ),
        ngettext_lazy("%(n)d job removed.", "%(n)d jobs removed.", "n"),
        _remove,
    ),
}


def panel(request: HttpRequest, site: AdminSite) -> HttpResponse:
    """Show the panel on a site of the admin, or do what was asked for with the chosen jobs."""
    if not access.sees_all(request.user):
        raise PermissionDenied
    try:
        if request.method == "POST":
            return _act(request, site)
        return _page(request, site, "panel", _shown(request))
    except MoiError as error:
        logger.warning("Cannot show the jobs of all users: %s", error)
        return _page(request, site, "panel", {"problem": str(error)}, status=503)


def _page(
    request: HttpRequest, site: AdminSite, name: str, shown: dict[str, Any], status: int = 200
) -> HttpResponse:
    context = {
        **site.each_context(request),
        "title": TITLE,
        "socket": Panel().socket,
        "may_change": access.changes_all(request.user),
        "actions": ACTIONS,
        **shown,
    }
    return TemplateResponse(request, f"moi_django/admin/{name}.html", context, status=status)


def _act(request: HttpRequest, site: AdminSite) -> HttpResponse:
    """Ask whether to do it, or do it and show the panel again."""
    if not access.changes_all(request.user):
        raise PermissionDenied
    action = ACTIONS.get(request.POST.get("action", ""))
    infos = _chosen(request)
    if action is None or not infos:
        messages.warning(request, _("Nothing was done: choose jobs that are still there."))
    elif "confirmed" in request.POST:
        _do(request, action, infos)
    else:
        return _page(request, site, "confirm", _question(action, infos, request))
    return HttpResponseRedirect(request.get_full_path())


def _chosen(request: HttpRequest) -> list[Info]:
    """Return the chosen jobs that are there and that the user may change."""
    infos = store().get_many(request.POST.getlist("id")[: listing.ROWS])
    jobs = [info for info in infos if info is not None and not info.is_group]
    return [info for info in jobs if access.allowed(request.user, "change", info)]


def _shown(request: HttpRequest) -> dict[str, Any]:
    """Return what the panel shows of what was asked for."""
    asked = request.GET
    wanted = listing.Wanted(
        text=asked.get("q", "").strip(),
        state=listing.state_of(asked.get("state", "")),
        context=asked.get("context", ""),
        owner=asked.get("owner", "").strip(),
    )
    before = Place.of(asked.get("before", ""))
    found = listing.jobs(request.user, wanted, before)
    hours = next((each for each in HOURS if str(each) == asked.get("hours")), HOURS[0])
    return {
        "fleet": fleet(),
        "history": plots.history(hours, store().ended(plots.minutes_of(hours, store().time()))),
        "hours": [{"hours": each, "query": _query(asked, hours=each)} for each in sorted(HOURS)],
        "states": list(State),
        "wanted": wanted,
        "before": before,
        "listing": found,
        "newest": _query(asked, before=None),
        "older": _query(asked, before=found.older),
    }


def _query(asked: QueryDict, **changed: Any) -> str:
    """Return the query of this page with something changed; None leaves it out."""
    query = asked.copy()
    for name, value in changed.items():
        query.pop(name, None)
        if value is not None:
            query[name] = str(value)
    return query.urlencode()


def _question(action: Action, infos: list[Info], request: HttpRequest) -> dict[str, Any]:
    return {
        "title": action.label,
        "panel_title": TITLE,
        "back": request.get_full_path(),
        "action": request.POST["action"],
        "label": action.label,
        "question": action.question % {"n": len(infos)},
        "rows": listing.rows(infos),
    }


def _do(request: HttpRequest, action: Action, infos: list[Info]) -> None:
    """Do it with each job, and say with how many it was done."""
    done = [info.id for info in infos if action.act(info.id)]
    for id in done:
        logger.info("%s: %s, job %s", request.user, request.POST["action"], id)
    if done:
        messages.success(request, action.done % {"n": len(done)})
    if left := len(infos) - len(done):
        text = ngettext("%(n)d had ended before.", "%(n)d had ended before.", left)
        messages.warning(request, text % {"n": left})
