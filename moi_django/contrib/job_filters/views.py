"""Where a list leads: to a login, and to what is done with many jobs of it, after a question."""

import time
from collections.abc import Iterator
from typing import Any

from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import get_script_prefix
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from moi_django.contrib.job_pages.crumbs import crumb_of
from moi_django.exceptions import StoreUnavailable
from moi_django.jobs import actions
from moi_django.models import UNFINISHED, Info, State
from moi_django.pages.page_urls import page_url
from moi_django.site_store import get_store
from moi_django.store.job_records import CHUNK_SIZE
from moi_django.store.tree_pages import PageRequest

# Seconds after which a request goes on with nothing further.
MAX_SECONDS = 10.0


@never_cache
@require_safe
def log_in(request: HttpRequest) -> HttpResponseBase:
    """Lead to the login of the site, and from there back to where the list is."""
    return redirect_to_login(_way_back(request, None))


@never_cache
@require_POST
def clear_group(request: HttpRequest, id: Any) -> HttpResponseBase:
    """Remove all that has ended in a group, or cancel all that waits there; ask first."""
    try:
        info = actions.find_permitted(request.user, "change", str(id))
        if info is None or not info.is_group:
            raise Http404(_("There is no such group, or you may not see it."))
        return _clear(request, info)
    except StoreUnavailable:
        shown = {"back": _way_back(request, None)}
        return render(request, "moi_django/unavailable.html", shown, status=503)


def _clear(request: HttpRequest, group: Info) -> HttpResponseBase:
    act, back = request.POST.get("act"), _way_back(request, group)
    removes = act == "remove-finished"
    chosen = _finished_in(group) if removes else _waiting_below(group)
    number = sum(map(_job_count, chosen))
    if not chosen or act not in ("remove-finished", "cancel-waiting"):
        return redirect(back)
    if "confirmed" in request.POST:
        messages.info(request, _remove(chosen) if removes else _cancel(chosen), fail_silently=True)
        return redirect(back)
    shown = {
        "info": group,
        "name": crumb_of(request.user, group).name,
        "question": _question(removes, number),
        "act": act,
        "label": pgettext("job", "Remove") if removes else pgettext("job", "Cancel"),
        "address": request.get_full_path(),
        "back": back,
    }
    return render(request, "moi_django/confirm.html", shown)


def _question(removes: bool, number: int) -> str:
    if removes:
        text = ngettext("Really remove %(number)s job?", "Really remove %(number)s jobs?", number)
    else:
        text = ngettext("Really cancel %(number)s job?", "Really cancel %(number)s jobs?", number)
    return text % {"number": number}


def _way_back(request: HttpRequest, group: Info | None) -> str:
    """Return the page that the request came from, if it is one of this site."""
    given = request.GET.get("next", "")
    hosts, is_secure = {request.get_host()}, request.is_secure()
    if url_has_allowed_host_and_scheme(given, hosts, require_https=is_secure):
        return given
    return (group and page_url(group)) or get_script_prefix()


def _finished_in(group: Info) -> list[Info]:
    """Return what is directly in a group and has ended: jobs, and groups with nothing to come."""
    return [
        info
        for info in _iterate_members(group)
        if info.finished or (info.is_group and info.totals and not info.count_below(UNFINISHED))
    ]


def _iterate_members(group: Info) -> Iterator[Info]:
    start = 0
    while page := get_store().pages.load(PageRequest(group.id, start, CHUNK_SIZE)):
        yield from page
        start += len(page)


def _waiting_below(group: Info) -> list[Info]:
    below, _links = get_store().tree.descendants(group)
    return [info for info in below if info.state is State.QUEUED]


def _job_count(info: Info) -> int:
    return sum((info.totals or {}).values()) if info.is_group else 1


def _remove(chosen: list[Info]) -> str:
    """Remove one after the other, while there is time; say how many jobs that were."""
    end, done = time.monotonic() + MAX_SECONDS, 0
    for info in chosen:
        if time.monotonic() > end:
            break
        done += _job_count(info) if actions.perform("remove", info).affected else 0
    return ngettext("%(n)d job removed.", "%(n)d jobs removed.", done) % {"n": done}


def _cancel(chosen: list[Info]) -> str:
    """Cancel what still waits; say how many jobs that were."""
    done = len(get_store().batches.change(chosen, _cancelled_if_queued))
    return ngettext("%(n)d job cancelled.", "%(n)d jobs cancelled.", done) % {"n": done}


def _cancelled_if_queued(info: Info) -> Info | None:
    return info.ended(State.CANCELLED) if info.state is State.QUEUED else None
