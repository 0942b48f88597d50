"""How the result of a job is shown: which of its forms, and that it cannot do any harm.

What a job has made is never part of a page of the site. Images are images; HTML and Markdown are
documents of their own, in a frame without scripts, forms or an origin.
"""

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any

from django.http import Http404, HttpResponse

from moi_django.conf import conf
from moi_django.contrib.displays.rich_display import SIZE
from moi_django.contrib.job_pages.html_content import has_content, has_scripts
from moi_django.contrib.job_pages.json_tree import JsonNode, build_json_tree
from moi_django.contrib.job_pages.tracebacks import TracebackSummary, summarize_traceback
from moi_django.models import Info, State

# The forms that we show, the best first: as it is called in an address -> its MIME type.
FORMS = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "svg": "image/svg+xml",
    "html": "text/html",
    "markdown": "text/markdown",
    "latex": "text/latex",
    "json": "application/json",
    "plain": "text/plain",
}
BINARY = ("png", "jpeg", "gif")
IMAGES = (*BINARY, "svg")
DOCUMENTS = ("html", "markdown")
# For what a job has made: nothing runs or is loaded from elsewhere, and nobody else may frame it.
POLICY = (
    "sandbox; default-src 'none'; img-src data:; font-src data:; style-src 'unsafe-inline'; "
    "frame-ancestors 'self'"
)
# For documents of a site that lets their scripts run: in an origin of their own, and with what they
# load from elsewhere, but with no way to this site.
SCRIPT_POLICY = (
    "sandbox allow-scripts; default-src 'none'; "
    "script-src 'unsafe-inline' 'unsafe-eval' https: blob:; style-src 'unsafe-inline' https:; "
    "img-src data: blob: https:; font-src data: https:; "
    "connect-src https: data: blob:; worker-src blob:; frame-src https: data: blob:; "
    "frame-ancestors 'self'"
)
STYLE = (
    "<!doctype html><meta charset=utf-8><style>:root{color-scheme:light dark}"
    "body{font:1rem/1.5 system-ui,sans-serif;margin:.5rem}table{border-collapse:collapse}"
    "th,td{padding:.25em .75em;text-align:end;border-block-end:1px solid #8886}</style>"
)


@dataclass(frozen=True, slots=True)
class ResultPreview:
    """What a page shows of a result."""

    # "none", "image", "document", "tree", "text" or "traceback"; "scripted" for a document of which
    # nothing is seen because it needs scripts.
    kind: str
    # Name of the form in its address, for an image or a document.
    form: str = ""
    text: str = ""
    tree: JsonNode | None = None
    # What was raised, and the frames of the user's own code if there are others.
    summary: TracebackSummary | None = None
    # What an image measures in CSS pixels, where that is known: width and height.
    size: tuple[str, ...] = ()

    @property
    def runs_scripts(self) -> bool:
        """True for a document whose scripts run, if the site lets them."""
        return self.form == "html" and conf.RESULT_SCRIPTS


def preview_result(info: Info, forms: dict[str, str]) -> ResultPreview:
    """Return how a result is shown best."""
    if info.state is not State.SUCCESS:
        return _preview_failure(str(info.result)) if info.result else ResultPreview("none")
    form = next((name for name, mime in FORMS.items() if _is_seen(mime, forms)), "")
    # An HTML form would have come before these if anything were seen of it.
    if form in ("", "plain") and has_scripts(forms.get(FORMS["html"], "")):
        return ResultPreview("scripted", "html", forms.get("text/plain", ""))
    if form in IMAGES:
        size = tuple(forms.get(f"{FORMS[form]}{SIZE}", "").split())
        return ResultPreview("image", form, forms.get("text/plain", ""), size=size)
    if form in DOCUMENTS:
        return ResultPreview("document", form, forms.get("text/plain", ""))
    if form == "json":
        return _preview_form(forms[FORMS[form]])
    if form:
        return ResultPreview("text", form, forms[FORMS[form]])
    return _preview_json(info.result)


def _preview_failure(text: str) -> ResultPreview:
    summary = summarize_traceback(text)
    return ResultPreview("traceback" if summary else "text", text=text, summary=summary)


def _is_seen(mime: str, forms: dict[str, str]) -> bool:
    if mime not in forms:
        return False
    return mime != FORMS["html"] or conf.RESULT_SCRIPTS or has_content(forms[mime])


def _preview_form(text: str) -> ResultPreview:
    """Show JSON that a job has made by itself, and which may be none."""
    try:
        return _preview_json(json.loads(text))
    except (ValueError, RecursionError):
        return ResultPreview("text", text=text)


def _preview_json(result: Any) -> ResultPreview:
    if isinstance(result, str):
        return ResultPreview("text", text=result)
    if isinstance(result, dict) and result.keys() == {"repr", "type"}:
        return ResultPreview("text", text=f"{result['repr']}\n({result['type']})")
    if isinstance(result, (dict, list)):
        return ResultPreview("tree", tree=build_json_tree(result))
    return ResultPreview("text", text=repr(result))


def document_response(form: str, data: str) -> HttpResponse:
    """Return a form of a result as a document of its own, which can do nothing."""
    mime = FORMS[form]
    if form in BINARY:
        response = HttpResponse(_decode_base64(data), content_type=mime)
    elif form in DOCUMENTS:
        html = data if form == "html" else _render_markdown(data)
        response = HttpResponse(STYLE + html, content_type="text/html; charset=utf-8")
        if form == "html" and conf.RESULT_SCRIPTS:
            return sandbox_response(response, SCRIPT_POLICY)
    else:
        response = HttpResponse(data, content_type=f"{mime}; charset=utf-8")
    return sandbox_response(response)


def _decode_base64(data: str) -> bytes:
    try:
        return base64.b64decode(data)
    except binascii.Error as error:
        raise Http404("There is no image.") from error


def sandbox_response(response: Any, policy: str = POLICY) -> Any:
    """Forbid a response that a job has made to do anything in the origin of the site."""
    response["Content-Security-Policy"] = policy
    response["X-Content-Type-Options"] = "nosniff"
    response["X-Frame-Options"] = "SAMEORIGIN"
    response["Cross-Origin-Resource-Policy"] = "same-origin"
    response["Cache-Control"] = "private, no-store"
    return response


def _render_markdown(text: str) -> str:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
