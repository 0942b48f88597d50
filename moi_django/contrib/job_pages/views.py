"""The views of the app's own pages: of a job, of a group, of what may be done and downloaded there.

Each is for who may see the job or group, which `authorization` decides. What is another's is as
good as not there.
"""

import json
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

from moi_django import authorization, owners
from moi_django.conf import conf
from moi_django.contrib.attachments.storage import attachments_of
from moi_django.contrib.command_line.ansi import note_gaps, strip_control
from moi_django.contrib.job_pages import downloads, json_pages, results
from moi_django.contrib.job_pages.attempts import attempts_of
from moi_django.contrib.job_pages.code_note import describe_code
from moi_django.contrib.job_pages.crumbs import Crumb, crumb_of, crumbs_of
from moi_django.contrib.job_pages.output_search import find_lines
from moi_django.contrib.job_pages.terminal_screen import render_output
from moi_django.exceptions import MoiError, StoreUnavailable
from moi_django.jobs import actions
from moi_django.models import UNFINISHED, Info
from moi_django.pages.page_urls import page_url
from moi_django.pages.status_div import Row, StatusDiv
from moi_django.site_store import get_store

View = Callable[..., HttpResponseBase]
# How many entries of its log the server renders in the page of a job.
OUTPUT_ENTRIES = 50
# How many are listed of the jobs that wait for one, and of those that it waits for.
RELATED = 100
_UNAVAILABLE = "Jobs cannot be shown just now: the server has no Redis."


def _permitted_object(
    action: authorization.Action,
    *,
    group: bool = False,
    otherwise: View | None = None,
    as_json: View | None = None,
) -> Callable[[View], View]:
    """Hand the info object of a job or group to a view, for who may see or change it.

    For anybody else there is what the view `otherwise` makes of the id, if it is given. Who wants
    JSON gets what `as_json` makes of it.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, id: Any, **more: Any) -> HttpResponseBase:
            try:
                info = actions.find_permitted(request.user, action, str(id))
                if info is None or info.is_group is not group:
                    return (otherwise or _refuse)(request, id)
                if as_json and json_pages.wants_json(request):
                    return as_json(request, info)
                return view(request, info, **more)
            except StoreUnavailable:
                return _unavailable_page(request, "group" if group else "job", id)

        return never_cache(guarded)

    return decorate


def _unavailable_page(request: HttpRequest, page: str, id: Any) -> HttpResponseBase:
    """Say that Redis is away, and lead to where it can be tried again: an act, from its page."""
    if json_pages.wants_json(request):
        return json_pages.unavailable_response(_UNAVAILABLE)
    back = (
        reverse(f"moi:{page}", args=[id]) if request.method == "POST" else request.get_full_path()
    )
    return render(request, "moi_django/unavailable.html", {"back": back}, status=503)


def _is_permitted(request: HttpRequest, action: authorization.Action, info: Info) -> bool:
    return authorization.allowed(request.user, action, info)


def _refuse(request: HttpRequest, id: Any) -> HttpResponseBase:
    """Answer alike for what is not there and what is another's."""
    if json_pages.wants_json(request):
        return json_pages.refused_response(request, id)
    if owners.find_field(request.user) is None:
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
@_permitted_object("view", otherwise=_past_job_page, as_json=json_pages.info_response)
def job_page(request: HttpRequest, info: Info) -> HttpResponseBase:
    """Show everything about a job; for the script without the output, which it has already."""
    shown = {
        "info": info,
        "row": Row(info, place=conf.describe_place(info)),
        "attempts": attempts_of(info),
        "code_note": describe_code(info),
        "result": results.preview_result(info, get_store().artifacts.load_display(info.id)),
        "files": attachments_of(get_store(), info.id).values(),
        "may_change": _is_permitted(request, "change", info),
        "is_staff": getattr(request.user, "is_staff", False),
        **_way_up(request, info),
        **_output(request, info),
        **_related(request, info),
        # For the address of the websocket, and the words of the script.
        "div": StatusDiv(),
    }
    return render(request, "moi_django/job.html", shown)


def _output(request: HttpRequest, info: Info) -> dict[str, Any]:
    """Return the end of what a job has printed, or the lines with what is looked for."""
    log, wanted = get_store().logs.open(info.id), request.GET.get("find", "").strip()
    if request.GET.get("without") == "output":
        return {"find": wanted}
    if wanted:
        return {
            "find": wanted,
            "found": find_lines(strip_control(note_gaps(log.read_all())), wanted),
        }
    entries = log.read_last(OUTPUT_ENTRIES)
    text, is_cut = render_output(entry.piece for entry in entries)
    lines = text.splitlines(keepends=True) if text else []
    return {"output": lines, "is_cut": is_cut or bool(entries and entries[0].at)}


def _way_up(request: HttpRequest, info: Info) -> dict[str, Any]:
    """Return what is above a job or group, and where to go when it is no longer there."""
    crumbs = crumbs_of(request.user, info)
    return {"crumbs": crumbs, "above": crumbs[-1] if crumbs else None, "back": _url_above(crumbs)}


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


def _url_above(crumbs: list[Crumb]) -> str:
    return (crumbs[-1].url if crumbs else None) or get_script_prefix()


@require_safe
@never_cache
def list_page(request: HttpRequest) -> HttpResponseBase:
    """Show users their own jobs, where the site has no page for that."""
    is_json = json_pages.wants_json(request)
    if owners.find_field(request.user) is None:
        if is_json:
            return json_pages.login_response()
        # A visitor who has no jobs yet may have some later.
        if not hasattr(request.user, "moi_field"):
            return redirect_to_login(request.get_full_path())
    elif is_json:
        try:
            group = owners.group_of(request.user, makes=False)
            return json_pages.group_response(request, group)
        except StoreUnavailable:
            return json_pages.unavailable_response(_UNAVAILABLE)
    return render(request, "moi_django/list.html")


@require_safe
@_permitted_object("view", group=True, as_json=json_pages.group_response)
def group_page(request: HttpRequest, info: Info) -> HttpResponseBase:
    """Show a group and all below it."""
    return render(request, "moi_django/group.html", {"info": info, **_way_up(request, info)})


@require_POST
@_permitted_object("change", group=True, as_json=json_pages.act_response)
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
    crumbs = crumbs_of(request.user, info)
    actions.perform("remove", info)
    messages.info(request, said, fail_silently=True)
    return redirect(_url_above(crumbs))


def _confirmation_page(request: HttpRequest, info: Info) -> HttpResponseBase | None:
    """Return the page that asks before an act is done, unless there is nothing to ask any more."""
    verb = request.POST.get("act")
    ask = _group_confirmation if info.is_group else _job_confirmation
    question = "" if "confirmed" in request.POST else ask(verb, info)
    if not question:
        return None
    asked = {
        "info": info,
        "name": crumb_of(request.user, info).name if info.is_group else info.name,
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
        content = conf.get_attachment_storage().open_file(attached)
    except FileNotFoundError as error:
        raise Http404 from error
    return downloads.file_response(request, content, name, attached.type)


@require_POST
@_permitted_object("change", as_json=json_pages.act_response)
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
