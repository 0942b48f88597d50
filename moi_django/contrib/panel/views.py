"""The operator's panel: contexts, engines, plots and the jobs of all users, and what is done there.

To see it takes the permission `view_jobs`, to act in it `change_jobs` besides.
"""

import logging
from typing import Any

import django
from django.contrib import messages
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.template.response import TemplateResponse
from django.utils.translation import gettext_lazy as _

from moi_django import authorization
from moi_django.contrib.clusters.context_settings import managed_contexts
from moi_django.contrib.monitoring import job_search
from moi_django.contrib.monitoring.cluster_state import get_cluster_state
from moi_django.contrib.monitoring.job_index import IndexPosition
from moi_django.contrib.monitoring.limit_state import get_limits
from moi_django.contrib.monitoring.owner_usage import report_usage
from moi_django.contrib.monitoring.statistics import Statistics
from moi_django.contrib.operation.pauses import running_jobs
from moi_django.contrib.panel import bulk_actions, operations, plots
from moi_django.contrib.panel.bulk_actions import ACTIONS
from moi_django.contrib.panel.job_rows import build_rows
from moi_django.exceptions import MoiError
from moi_django.models import State
from moi_django.pages.status_div import websocket_url
from moi_django.site_store import get_store

logger = logging.getLogger("moi_django.panel")

# Hours that plots can show, the first one unless another is asked for.
HOURS = (6, 1, 24)
TITLE = _("Jobs of all users")
# From this version on the breadcrumbs of the admin are a list, and styled as one.
LIST_OF_CRUMBS = (6, 1)


def show_panel(request: HttpRequest, site: AdminSite) -> HttpResponse:
    """Show the panel on a site of the admin, or do what was asked for with the chosen jobs."""
    if not authorization.sees_all(request.user):
        raise PermissionDenied
    try:
        if request.method == "POST":
            return _ask_or_apply(request, site)
        return render_page(request, site, "panel", _panel_content(request))
    except MoiError as error:
        logger.warning("Cannot show the jobs of all users: %s", error)
        return render_page(request, site, "panel", {"problem": str(error)}, status=503)


def render_page(
    request: HttpRequest, site: AdminSite, name: str, shown: dict[str, Any], status: int = 200
) -> HttpResponse:
    """Return a page of the panel, by the name of its template."""
    # By which `{% url %}` finds a site of the admin that has a name of its own.
    request.current_app = site.name
    context = {
        **site.each_context(request),
        "crumbs_are_list": django.VERSION >= LIST_OF_CRUMBS,
        "title": TITLE,
        "socket": websocket_url(),
        "may_change": authorization.changes_all(request.user),
        "actions": ACTIONS,
        **shown,
    }
    return TemplateResponse(request, f"moi_django/admin/{name}.html", context, status=status)


def _ask_or_apply(request: HttpRequest, site: AdminSite) -> HttpResponse:
    """Ask whether to do it, or do it and show the panel again."""
    if not authorization.changes_all(request.user):
        raise PermissionDenied
    if found := operations.find_operation(request.POST):
        return _ask_or_operate(request, site, *found)
    action = ACTIONS.get(request.POST.get("action", ""))
    query = _parse_query(request.GET)
    choice = bulk_actions.find_chosen(request, action, query) if action else None
    if action is None or choice is None or not choice.ids:
        messages.warning(request, _("Nothing was done: choose jobs that are still there."))
    elif "confirmed" in request.POST:
        bulk_actions.apply_to_all(request, action, choice.ids)
    else:
        shown = {"panel_title": TITLE, **bulk_actions.confirmation(request, action, choice)}
        return render_page(request, site, "confirm", shown)
    return HttpResponseRedirect(request.get_full_path())


def _ask_or_operate(
    request: HttpRequest, site: AdminSite, verb: str, operation: operations.Operation
) -> HttpResponse:
    """Ask whether to do something with a context or an engine, or do it."""
    target = request.POST[verb]
    name = operations.describe_target(operation, target)
    if name is None:
        messages.warning(request, _("Nothing was done: it is not there any more."))
    elif "confirmed" in request.POST:
        operations.perform(request, verb, target, name)
    else:
        shown = {"panel_title": TITLE, **operations.confirmation(request, verb, target, name)}
        return render_page(request, site, "confirm", shown)
    return HttpResponseRedirect(request.get_full_path())


def _parse_query(asked: QueryDict) -> job_search.JobQuery:
    return job_search.JobQuery(
        text=asked.get("q", "").strip(),
        state=job_search.parse_state(asked.get("state", "")),
        context=asked.get("context", ""),
        owner=asked.get("owner", "").strip(),
    )


def _panel_content(request: HttpRequest) -> dict[str, Any]:
    """Return what the panel shows of what was asked for."""
    asked = request.GET
    query = _parse_query(asked)
    before = IndexPosition.from_text(asked.get("before", ""))
    found = job_search.search_jobs(request.user, query, before)
    hours = next((each for each in HOURS if str(each) == asked.get("hours")), HOURS[0])
    store = get_store()
    minutes = plots.minutes_to_read(hours, store.connection.server_time())
    return {
        "cluster_state": get_cluster_state(),
        "runs_clusters": bool(managed_contexts()),
        "history": plots.build_history(
            hours, Statistics(store.connection).completed_by_minute(minutes)
        ),
        "hours": [{"hours": n, "query": _changed_query(asked, hours=n)} for n in sorted(HOURS)],
        "limits": get_limits(),
        "usage": report_usage(hours, running_jobs()),
        "states": list(State),
        "query": query,
        "before": before,
        "listing": found,
        "rows": build_rows(request.user, found.rows),
        "newest": _changed_query(asked, before=None),
        "older": _changed_query(asked, before=found.older),
        "any_owner": _changed_query(asked, before=None, owner=None),
    }


def _changed_query(asked: QueryDict, **changed: Any) -> str:
    """Return the query of this page with something changed; None leaves it out."""
    query = asked.copy()
    for name, value in changed.items():
        query.pop(name, None)
        if value is not None:
            query[name] = str(value)
    return query.urlencode()
