"""Show clusters in the admin, beside the operator's panel: slots, hosts, what waits and why; scale.

The launchers are asked each time, which takes a second or so where that is a batch system.
"""

import logging

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from moi_django import authorization
from moi_django.contrib.clusters import scaling
from moi_django.contrib.clusters.context_settings import managed_contexts, read_context
from moi_django.contrib.clusters.context_status import ManagedContext
from moi_django.contrib.panel.views import TITLE, render_page
from moi_django.exceptions import MoiError

logger = logging.getLogger("moi_django.panel")


def show_clusters(request: HttpRequest, site: AdminSite) -> HttpResponse:
    """Show the contexts that have a LAUNCHER, or scale one."""
    if not authorization.sees_all(request.user):
        raise PermissionDenied
    if request.method == "POST":
        if not authorization.changes_all(request.user):
            raise PermissionDenied
        _scale(request, request.POST.get("context", ""), request.POST.get("engines", ""))
        return HttpResponseRedirect(request.path)
    clusters = []
    for name in managed_contexts():
        try:
            clusters.append(ManagedContext(read_context(name)).read_status())
        except MoiError as error:
            messages.error(request, str(error))
    shown = {
        "title": pgettext("moi", "Clusters"),
        "panel_title": TITLE,
        "back": reverse("admin:moi_django_alljobs_changelist", current_app=site.name),
        "clusters": clusters,
    }
    return render_page(request, site, "clusters", shown)


def _scale(request: HttpRequest, name: str, count: str) -> None:
    """Have a context have so many engines, and say so, or why not."""
    try:
        scaling.scale(read_context(name), int(count) if count.isdecimal() else -1, waits=False)
    except MoiError as error:
        messages.error(request, str(error))
        return
    logger.info("%s: scale, %s, %s", request.user, name, count)
    said = _("%(count)s engines are asked for in %(name)s; those that go end with their jobs.")
    messages.success(request, said % {"name": name, "count": count})
