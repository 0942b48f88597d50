"""The views of the app's own pages: of a job, of a group, of what may be done and downloaded there.

Each is for who may see the job or group, which `authorization` decides. What is another's is as
good as not there.
"""

import json
import re
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.apps import apps
from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import get_script_prefix, reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from moi_django import authorization
from moi_django.cluster import dispatch
from moi_django.conf import conf
from moi_django.contrib.command_line.ansi import note_gaps, strip_control
from moi_django.contrib.job_pages import downloads, results
from moi_django.contrib.job_pages.code_note import describe_code
from moi_django.contrib.job_pages.terminal_screen import render_output
from moi_django.engine.attachments import attachments_of
from moi_django.exceptions import MoiError, StoreUnavailable
from moi_django.jobs import actions
from moi_django.models import UNFINISHED, Info
from moi_django.pages.page_urls import page_url
from moi_django.pages.status_div import Row, StatusDiv
from moi_django.presentation.place_text import describe_place
from moi_django.site_store import get_store

View = Callable[..., HttpResponseBase]
# How many entries of its log the server renders in the page of a job.
OUTPUT_ENTRIES = 50
# How many members of a group stand side by side at first, and what a page may ask for instead.
ROWS, _COUNT = 100, re.compile(r"[1-9][0-9]{0,5}")
# How many are listed of the jobs that wait for one, and of those that it waits for.
RELATED = 100


def _permitted_object(
    action: authorization.Action, *, group: bool = False, otherwise: View | None = None
) -> Callable[[View], View]:
    """Hand the info object of a job or group to a view, for who may see or change it.

    For anybody else there is what the view `otherwise` makes of the id, if it is given.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, id: Any, **more: Any) -> HttpResponseBase:
            try:
                info = actions.find_permitted(request.user, action, str(id))
                if info is None or info.is_group is not group:
                    return (otherwise or _refuse)(request, id)
                return view(request, info, **more)
            except StoreUnavailable:
                return _unavailable_page(request, "group" if group else "job", id)

        return never_cache(guarded)

    return decorate


def _unavailable_page(request: HttpRequest, page: str, id: Any) -> HttpResponseBase:
    """Say that Redis is away, and lead to where it can be tried again: an act, from its page."""
    back = (
        reverse(f"moi:{page}", args=[id]) if request.method == "POST" else request.get_full_path()
    )
    return render(request, "moi_django/unavailable.html", {"back": back}, status=503)


def _is_permitted(request: HttpRequest, action: authorization.Action, info: Info) -> bool:
    return authorization.allowed(request.user, action, info)


def _refuse(request: HttpRequest, id: Any) -> HttpResponseBase:
    """Answer alike for what is not there and what is another's."""
    if request.user.is_anonymous and not conf.ANONYMOUS_USER:
        return redirect_to_login(request.get_full_path())
    raise Http404(_("There is no such job, or you may not see it."))


def _past_job_page(request: HttpRequest, id: Any) -> HttpResponseBase:
    """Show what the history knows of a job that Redis has forgotten, where the site keeps one."""
    if apps.is_installed("moi_django.contrib.history"):
        from moi_django.contrib.history.pages import render_past_job

        if page := render_past_job(request, str(id)):
            return page
    return _refuse(request, id)


@require_safe
@_permitted_object("view", otherwise=_past_job_page)
def job_page(request: HttpRequest, info: Info) -> HttpResponseBase:
    """Show everything about a job; for the script without the output, which it has already."""
    is_whole = request.GET.get("without") != "output"
    entries = get_store().logs.open(info.id).read_last(OUTPUT_ENTRIES) if is_whole else []
    output, is_cut = render_output(entry.piece for entry in entries)
    parent = _visible_parent(request, info)
    shown = {
        "info": info,
        "row": Row(info, place=describe_place(info)),
        "took": info.ran_seconds(),
        "code_note": describe_code(info),
        "result": results.preview_result(info, get_store().artifacts.load_display(info.id)),
        "output": output,
        "is_cut": is_cut or bool(entries and entries[0].at),
        "files": attachments_of(get_store(), info.id).values(),
        "may_change": _is_permitted(request, "change", info),
        "parent": parent,
        "back": _url_above(parent),
        **_related(request, info),
        # For the address of the websocket, and the words of the script.
        "div": StatusDiv(),
    }
    return render(request, "moi_django/job.html", shown)


def _related(request: HttpRequest, info: Info) -> dict[str, Any]:
    """Return the jobs and groups that a job waits for, and those that wait for it."""
    edges = get_store().dependencies
    found = {"before": edges.parents(info), "behind": edges.children(info.id)}
    return {
        name: [
            {"info": each, "url": page_url(each)}
            for each in infos[:RELATED]
            if _is_permitted(request, "view", each)
        ]
        for name, infos in found.items()
    }


def _visible_parent(request: HttpRequest, info: Info) -> Info | None:
    parent = get_store().jobs.get(info.parent) if info.parent else None
    return parent if parent is not None and _is_permitted(request, "view", parent) else None


def _url_above(parent: Info | None) -> str:
    """Return where to go from a job that is no longer there."""
    return (page_url(parent) if parent else None) or get_script_prefix()


@require_safe
@_permitted_object("view", group=True)
def group_page(request: HttpRequest, info: Info) -> HttpResponseBase:
    """Show a group and all below it; of its members at most `?rows=` at first."""
    asked = request.GET.get("rows", "")
    rows = min(int(asked), conf.SNAPSHOT_LIMIT) if _COUNT.fullmatch(asked) else ROWS
    shown = {"info": info, "rows": rows, "parent": _visible_parent(request, info)}
    return render(request, "moi_django/group.html", shown)


@require_POST
@_permitted_object("change", group=True)
def act_on_group(request: HttpRequest, info: Info) -> HttpResponseBase:
    """Cancel, retry or remove what is in a group, where no script does it; ask first if need be."""
    verb = request.POST.get("act")
    if question := _confirmation_page(request, info):
        return question
    if verb == "remove" and not info.is_root:
        return _remove_and_leave(request, info, _("The group was removed."))
    if verb == "cancel":
        actions.perform("cancel", info)
    elif verb == "retry":
        try:
            actions.perform("retry", info)
        except MoiError as error:
            messages.error(request, actions.refusal(error), fail_silently=True)
    return redirect("moi:group", info.id)


def _remove_and_leave(request: HttpRequest, info: Info, said: str) -> HttpResponseBase:
    """Remove a job or a group, and go where it stood."""
    parent = _visible_parent(request, info)
    actions.perform("remove", info)
    messages.info(request, said, fail_silently=True)
    return redirect(_url_above(parent))


def _confirmation_page(request: HttpRequest, info: Info) -> HttpResponseBase | None:
    """Return the page that asks before an act is done, unless there is nothing to ask any more."""
    verb = request.POST.get("act")
    ask = _group_confirmation if info.is_group else _job_confirmation
    question = "" if "confirmed" in request.POST else ask(verb, info)
    if not question:
        return None
    asked = {
        "info": info,
        "question": question,
        "act": verb,
        "label": pgettext("job", "Cancel") if verb == "cancel" else pgettext("job", "Remove"),
        "address": request.get_full_path(),
        "back": page_url(info),
    }
    return render(request, "moi_django/confirm.html", asked)


def _job_confirmation(verb: str | None, info: Info) -> str:
    """Return what to ask before a job is removed that has not ended."""
    return _("Really stop and remove?") if verb == "remove" and not info.finished else ""


def _group_confirmation(verb: str | None, info: Info) -> str:
    """Return what to ask before an act ends or removes jobs of a group; empty without any."""
    totals = get_store().tree.totals(info.id)
    if verb == "cancel":
        n = sum(totals.get(state, 0) for state in UNFINISHED)
        text = ngettext("Really cancel %(number)s job?", "Really cancel %(number)s jobs?", n)
    elif verb == "remove":
        n = sum(totals.values())
        text = ngettext("Really remove %(number)s job?", "Really remove %(number)s jobs?", n)
    else:
        return ""
    return text % {"number": n} if n else ""


@require_safe
@_permitted_object("view")
def download_output(request: HttpRequest, info: Info) -> HttpResponseBase:
    """Send all output of a job that is kept, as a text file."""
    texts = strip_control(note_gaps(get_store().logs.open(info.id).read_all()))
    return downloads.text_response(request, texts, f"{info.id}.txt")


@require_safe
@_permitted_object("view")
def download_result(request: HttpRequest, info: Info) -> HttpResponseBase:
    """Send the result of a job, as a JSON file."""
    text = json.dumps(info.result, indent=2, ensure_ascii=False)
    return downloads.as_attachment(
        HttpResponse(text, content_type="application/json; charset=utf-8"), f"{info.id}.json"
    )


@require_safe
@_permitted_object("view")
def result_form(request: HttpRequest, info: Info, name: str) -> HttpResponseBase:
    """Send one of the forms in which a result can be shown."""
    data = get_store().artifacts.load_display(info.id).get(results.FORMS.get(name, ""))
    if data is None:
        raise Http404
    return results.document_response(name, data)


@require_safe
@_permitted_object("view")
def download_file(request: HttpRequest, info: Info, name: str) -> HttpResponseBase:
    """Send a file that a job has attached."""
    attached = attachments_of(get_store(), info.id).get(name)
    if attached is None:
        raise Http404
    try:
        content = dispatch.get_attachment_storage().open_file(attached)
    except FileNotFoundError as error:
        raise Http404 from error
    return downloads.file_response(request, content, name, attached.type)


@require_POST
@_permitted_object("change")
def act_on_job(request: HttpRequest, info: Info) -> HttpResponseBase:
    """Cancel, retry or remove a job, where no script does it; ask first if need be."""
    verb = request.POST.get("act")
    if question := _confirmation_page(request, info):
        return question
    try:
        if verb == "cancel":
            actions.perform("cancel", info)
        elif verb == "retry":
            new = info.retried or actions.perform("retry", info).info.id
            return redirect("moi:job", new)
        elif verb == "remove":
            return _remove_and_leave(request, info, _("The job was removed."))
    except StoreUnavailable:
        raise
    except MoiError as error:
        messages.error(request, str(error), fail_silently=True)
    return redirect("moi:job", info.id)
