"""What the pages of jobs and groups answer to who asks for JSON: their info objects.

The rights are those of the pages. Errors are JSON, too, and say why.
"""

import hashlib
import json
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse, QueryDict
from django.http.response import HttpResponseBase
from django.middleware.csrf import get_token
from django.shortcuts import resolve_url
from django.utils.cache import get_conditional_response, patch_vary_headers

from moi_django import owners
from moi_django.conf import conf
from moi_django.contrib.job_filters.job_filter import STATE
from moi_django.contrib.job_filters.page_filter import PageFilter, parse_filter
from moi_django.contrib.job_filters.search import find_jobs
from moi_django.contrib.monitoring.job_index import IndexPosition
from moi_django.exceptions import InvalidJob, JobNotFound, MoiError, PayloadRefused
from moi_django.jobs import actions
from moi_django.models import Info
from moi_django.site_store import get_store
from moi_django.store.tree_pages import PageRequest

# Members on a page.
PAGE_SIZE = 100
# Seconds after which to try again when Redis is away.
RETRY_AFTER = 5


def wants_json(request: HttpRequest) -> bool:
    """Tell whether JSON is what the client would rather have."""
    return request.get_preferred_type(["text/html", "application/json"]) == "application/json"


def info_response(request: HttpRequest, info: Info) -> HttpResponseBase:
    """Answer with the info object of a job."""
    return _json_response(request, _wire(info))


def group_response(request: HttpRequest, info: Info) -> HttpResponseBase:
    """Answer with a group and a page of what is in it.

    With a filter in the query, which is that of the page of the group, these are the jobs anywhere
    below that fit; else its members. `next` leads to the next page.
    """
    wanted, page = parse_filter(request.GET), request.GET.get("page", "")
    state = request.GET.get(STATE, "")
    if state and not wanted.part:  # acts may follow, which are not meant for all jobs
        return error_response(400, f"There is no state {state!r:.50}.")
    group = get_store().tree.with_counts([info])[0]
    members, following = (_found_jobs if wanted else _members)(group, wanted, page)
    if members is None:
        return error_response(400, "There is no such page: take its address from `next`.")
    listed = [_wire(each, conf.RESULT_PREVIEW) for each in members]
    shown = {"group": _wire(group), "members": listed}
    return _json_response(request, {**shown, "next": _next_url(request, following)})


def _members(group: Info, wanted: PageFilter, page: str) -> tuple[list[Info] | None, str]:
    text = page or "1"
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0
    if number < 1:
        return None, ""
    size = wanted.rows or PAGE_SIZE
    start = (number - 1) * size
    request = PageRequest(group.id, start, size, newest=group.is_root)
    has_more = start + size < (group.size or 0)
    return get_store().pages.load(request), str(number + 1) if has_more else ""


def _found_jobs(group: Info, wanted: PageFilter, page: str) -> tuple[list[Info] | None, str]:
    position = IndexPosition.from_text(page)
    if page and position is None:
        return None, ""
    found = find_jobs(group.id, wanted, wanted.rows or PAGE_SIZE, position)
    return found.jobs, str(found.older or "")


def _next_url(request: HttpRequest, page: str) -> str | None:
    if not page:
        return None
    query: QueryDict = request.GET.copy()
    query["page"] = page
    return f"{request.path}?{query.urlencode()}"


def act_response(request: HttpRequest, info: Info) -> HttpResponse:
    """Cancel, retry or remove a job, or what is below a group; answer with what became of it."""
    verb: Any = request.POST.get("act")
    if verb not in ("cancel", "retry", "remove"):
        return error_response(400, "Give act=cancel, act=retry or act=remove.")
    if verb == "remove" and info.is_root:
        return error_response(400, "What all of one's jobs are in cannot be removed.")
    try:
        done = actions.perform(verb, info)
    except (InvalidJob, PayloadRefused) as error:
        return error_response(409, str(error))
    except JobNotFound as error:
        return error_response(404, str(error))
    except MoiError as error:
        return unavailable_response(actions.refusal(error))
    left = get_store().tree.with_counts([done.info])[0] if info.is_group else done.info
    return JsonResponse({"affected": done.affected, "info": _wire(left)})


def refused_response(request: HttpRequest, id: Any) -> HttpResponse:
    """Answer alike for what is not there and what is another's; to who is not logged in, that."""
    if owners.find_field(request.user) is None:
        return login_response()
    return error_response(404, f"There is no {id}, or you may not see it.")


def login_response() -> HttpResponse:
    """Say that nobody is logged in, and where that is done."""
    return error_response(403, "Log in first.", login=resolve_url(settings.LOGIN_URL))


def unavailable_response(reason: str) -> HttpResponse:
    """Say that it can be tried again in a while."""
    response = error_response(503, reason)
    response["Retry-After"] = str(RETRY_AFTER)
    return response


def error_response(status: int, reason: str, **more: str) -> HttpResponse:
    """Say why there is no other answer."""
    response = JsonResponse({"error": {"reason": reason, **more}}, status=status)
    patch_vary_headers(response, ["Accept"])
    return response


def _wire(info: Info, limit: int | None = None) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(info.to_wire(limit))
    return found


def _json_response(request: HttpRequest, data: dict[str, Any]) -> HttpResponseBase:
    """Answer with JSON, unless the client has this very answer already."""
    get_token(request)  # so that the client has the cookie before it acts
    response = JsonResponse(data)
    response["ETag"] = f'"{hashlib.sha256(response.content).hexdigest()[:32]}"'
    patch_vary_headers(response, ["Accept"])
    return get_conditional_response(request, etag=response["ETag"], response=response) or response
