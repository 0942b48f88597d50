"""`{% load moi %}`: the status div and what it needs of the page's head."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django import template
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.wsgi import WSGIRequest
from django.template.loader import render_to_string
from django.templatetags.static import static
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import pgettext, pgettext_lazy

from moi_django.conf import conf
from moi_django.models import GROUP_STATUS, Info, State
from moi_django.pages import page_urls
from moi_django.pages.status_div import build_status_div
from moi_django.presentation import formatting
from moi_django.presentation.formatting import format_localized

register = template.Library()


@register.simple_tag(takes_context=True)
def moi_jobs(
    context: template.Context,
    group: Any = None,
    title: str | None = None,
    limit: int = 50,
    template_name: str = "moi_django/jobs.html",
    notify: float | None = None,
    filters: bool = True,
) -> SafeString:
    """Show the user's jobs and keep them up to date.

    `group` is a Group or the id of one whose jobs to show instead. `title` stands above them. At
    most `limit` rows stand side by side: of the user's own the newest, of a group the oldest.
    `template_name` replaces the template. With `notify`, who looks elsewhere is told of the end of
    jobs that have run for as many seconds. Without `filters` the address changes nothing.
    """
    request = context.get("request")
    user = getattr(request, "user", None) or context.get("user")
    if user is None:
        raise ImproperlyConfigured(
            "{% moi_jobs %} needs to know the user: render the template with the request, and put "
            "django.contrib.auth.middleware.AuthenticationMiddleware in MIDDLEWARE."
        )
    wanted = conf.parse_filter(request.GET) if request and filters else None
    shown = build_status_div(user, group, limit, wanted)
    given = {"div": shown, "title": title, "limit": shown.limit or limit, "notify": notify}
    return render_to_string(template_name, given, request=request)


@register.inclusion_tag("moi_django/assets.html", takes_context=True)
def moi_assets(context: template.Context) -> dict[str, Any]:
    """Load the script and the style of the status div; once in the page's head."""
    return {name: context[name] for name in ("request", "csp_nonce") if name in context}


@register.simple_tag(takes_context=True)
def moi_nonce(context: template.Context) -> SafeString:
    """Return the attribute that lets the site's content security policy trust an element."""
    # Django's own policy puts a nonce into the context, django-csp on the request. One that nobody
    # has used yet is false, and none the less a nonce.
    nonce = context.get("csp_nonce", getattr(context.get("request"), "csp_nonce", None))
    return SafeString() if nonce is None else format_html(' nonce="{}"', nonce)


@register.simple_tag(takes_context=True)
def moi_module(context: template.Context, name: str) -> SafeString:
    """Load one of our modules; `moiModule` finds it by this element."""
    script = '<script type="module" data-moi-module="{}" src="{}"{}></script>'
    return format_html(script, name, static(f"moi_django/{name}.js"), moi_nonce(context))


@register.simple_tag(takes_context=True)
def moi_lacks_websockets(context: template.Context) -> bool:
    """Tell a developer's page that its server speaks WSGI, by which it cannot be live."""
    request = context.get("request", getattr(context, "request", None))
    return settings.DEBUG and isinstance(request, WSGIRequest) and not conf.WEBSOCKET_URL


_STATES = {
    State.QUEUED: pgettext_lazy("job", "Queued"),
    State.RUNNING: pgettext_lazy("job", "Running"),
    State.SUCCESS: pgettext_lazy("job", "Success"),
    State.FAILED: pgettext_lazy("job", "Failed"),
    State.LOST: pgettext_lazy("job", "Failed"),
    State.CANCELLED: pgettext_lazy("job", "Cancelled"),
}


def _isolated(measure: Callable[..., str]) -> Callable[[float | None], SafeString]:
    """Return a filter whose number and unit have the direction of the unit, whatever is around."""
    return lambda value: format_html("<bdi>{}</bdi>", measure(value, format_localized))


# For the text of an element, not for an attribute.
register.filter("moi_duration", _isolated(formatting.format_duration))
register.filter("moi_size", _isolated(formatting.format_size))
register.filter("moi_percent", _isolated(formatting.format_percent))

register.filter("moi_detail", page_urls.detail_url)


@register.filter
def moi_state(state: State) -> str:
    """Return a state as people call it, in the language of the page."""
    return str(_STATES[state])


@register.filter
def moi_status(info: Info) -> str:
    """Return a status text; one that the job has not set itself is translated."""
    if info.state is None and info.status == GROUP_STATUS:
        return pgettext("job", "Group")
    if info.state is None or info.status.lower() != info.state.status.lower():
        return conf.translate_status(info.status)
    return moi_state(info.state)


@register.filter
def moi_number(number: float | None) -> str:
    """Return a number as HTML and people read it, without a needless fraction."""
    return "" if number is None else f"{number:.12g}"


@register.filter
def moi_iso(date: str | None) -> str:
    """Return a time of an info object as <time datetime> and scripts read it, in UTC.

    Returns an empty text when it is none, which a foreign program may have written.
    """
    try:
        return datetime.fromisoformat(date or "").isoformat() + "Z"
    except ValueError:
        return ""
