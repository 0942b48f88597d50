"""Find a site around moi in which its pages cannot be live or their users not be known."""

import sys
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Info, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.asgi import ASGIHandler
from django.core.management import get_commands, load_command_class
from django.template import Context, TemplateDoesNotExist, TemplateSyntaxError
from django.template.base import Node, Variable
from django.template.base import Template as DjangoTemplate
from django.template.library import InclusionNode
from django.template.loader import get_template
from django.template.loader_tags import ExtendsNode, IncludeNode
from django.utils.module_loading import import_string

from moi_django.conf import conf
from moi_django.pages.page_urls import page_url_patterns

OWN_APPLICATION = (
    'Set ASGI_APPLICATION = "moi_django.asgi.application", or add '
    "moi_django.routing.websocket_urlpatterns to the websockets of your own."
)
# Each middleware that tells a page who its user is, with the app without which it does nothing.
LOGIN = {
    "django.contrib.sessions.middleware.SessionMiddleware": "django.contrib.sessions",
    "django.contrib.auth.middleware.AuthenticationMiddleware": "django.contrib.auth",
}


@register("moi")
def check_application(**kwargs: Any) -> list[CheckMessage]:
    """Check that the application which the site names has websockets."""
    name = getattr(settings, "ASGI_APPLICATION", None)
    # Ours is not loaded: that costs time, and every command runs these checks.
    if not name or str(name).startswith("moi_django.asgi."):
        return []
    try:
        application = import_string(name)
    except Exception as error:
        # Whatever its module does may fail.
        text = f"ASGI_APPLICATION cannot be imported: {error}."
        return [Error(text, hint=OWN_APPLICATION, id="moi.E009")]
    if _speaks_http_alone(application):
        text = f"ASGI_APPLICATION, {name}, has no websockets, so pages will not be live."
        return [Warning(text, hint=OWN_APPLICATION, id="moi.W006")]
    return []


def _speaks_http_alone(application: Any) -> bool:
    """Tell so of Django's own application and of a router of Channels; of others, who knows."""
    protocols = getattr(application, "application_mapping", {"websocket": None})
    return isinstance(application, ASGIHandler) or "websocket" not in protocols


@register("moi")
def check_runserver(**kwargs: Any) -> list[CheckMessage]:
    """Say that pages are not live by a `runserver` of WSGI, to who runs it or checks the site."""
    # Other commands have nothing to do with it, and would say so again and again.
    if not settings.DEBUG or sys.argv[1:2] not in (["runserver"], ["check"]) or conf.WEBSOCKET_URL:
        return []
    from moi_django.contrib.runserver.next_command import APP, serves_wsgi

    if not serves_wsgi(load_command_class(get_commands()["runserver"], "runserver")):
        return []
    return [
        Info(
            "runserver has no websockets, so pages will not be live.",
            hint=f'Use `manage.py moi up`, or put "{APP}" or "daphne" into '
            'INSTALLED_APPS, before "django.contrib.staticfiles".',
            id="moi.I031",
        )
    ]


@register("moi")
def check_pages(**kwargs: Any) -> list[CheckMessage]:
    """Say that jobs have no page but those that the site gives them."""
    if not getattr(settings, "ROOT_URLCONF", None) or page_url_patterns():
        return []
    return [
        Info(
            "The urls of the site have no pages of jobs: of a job without a url of its own nobody "
            "sees the result, the output, or all of why it failed.",
            hint='Add path("moi/", include("moi_django.urls")) to urlpatterns.',
            id="moi.I032",
        )
    ]


@register("moi")
def check_layer(**kwargs: Any) -> list[CheckMessage]:
    """Check that the channel layer can be made."""
    layer = getattr(settings, "CHANNEL_LAYERS", {}).get(conf.CHANNEL_LAYER)
    if layer is None:
        return []  # checks.check_channels says so
    name = layer.get("BACKEND", "")
    try:
        import_string(name)
    except Exception as error:
        return [
            Error(
                f"The BACKEND of the channel layer {conf.CHANNEL_LAYER!r} cannot be imported: "
                f"{error}.",
                hint="Use 'moi_django.layers.MoiChannelLayer'.",
                id="moi.E009",
            )
        ]
    return []


@register("moi")
def check_middleware(**kwargs: Any) -> list[CheckMessage]:
    """Check that pages know who is logged in."""
    missing = [
        name for name, app in LOGIN.items() if apps.is_installed(app) and not _has_middleware(name)
    ]
    if not missing:
        return []
    return [
        Warning(
            f"MIDDLEWARE has no {' and no '.join(missing)}: {{% moi_jobs %}} does not know the "
            "user of a page.",
            hint="Add it, SessionMiddleware before AuthenticationMiddleware.",
            id="moi.W007",
        )
    ]


def _has_middleware(name: str) -> bool:
    """Tell whether there is this middleware, or one of the site's that is derived from it."""
    if name in settings.MIDDLEWARE:
        return True
    wanted = import_string(name)
    candidates = [import_string(given) for given in settings.MIDDLEWARE]
    return any(isinstance(each, type) and issubclass(each, wanted) for each in candidates)


@register("moi")
def check_static_files(**kwargs: Any) -> list[CheckMessage]:
    """Check that pages get the script and the style."""
    if apps.is_installed("django.contrib.staticfiles") and settings.STATIC_URL:
        return []
    return [
        Warning(
            "django.contrib.staticfiles is not installed or STATIC_URL not set: pages do not get "
            "moi.js and moi.css.",
            hint="Add it to INSTALLED_APPS and set STATIC_URL, or serve the directory "
            "moi_django/static of the package yourself.",
            id="moi.W008",
        )
    ]


@register("moi")
def check_templates(**kwargs: Any) -> list[CheckMessage]:
    """Check that {% moi_jobs %} can know the user of a page."""
    django = "django.template.backends.django.DjangoTemplates"
    configured: Any = settings.TEMPLATES
    engines = [each for each in configured if each.get("BACKEND") == django]
    needed = {
        "django.template.context_processors.request",
        "django.contrib.auth.context_processors.auth",
    }
    for engine in engines:
        if needed & set(engine.get("OPTIONS", {}).get("context_processors", ())):
            return []
    return [
        Warning(
            "No template engine tells templates who the user is, so {% moi_jobs %} cannot work.",
            hint="Add 'django.template.context_processors.request' to the context_processors in "
            "TEMPLATES.",
            id="moi.W004",
        )
    ]


@register("moi")
def check_frame(**kwargs: Any) -> list[CheckMessage]:
    """Check that a site's frame for our pages loads the script and the style."""
    try:
        frame = get_template("moi_django/base.html")
    except (ImproperlyConfigured, TemplateDoesNotExist, TemplateSyntaxError):
        return []  # It does not get as far as that; Django says why.
    template = getattr(frame, "template", None)
    if not isinstance(template, DjangoTemplate) or _may_load_assets(template, set()):
        return []
    return [
        Warning(
            f"{template.origin} is the frame of moi's pages, and has no {{% moi_assets %}}: they "
            "have no style and are not live.",
            hint="Put {% load moi %}{% moi_assets %} into its <head>.",
            id="moi.W009",
        )
    ]


def _may_load_assets(template: DjangoTemplate, seen: set[str]) -> bool:
    """Tell so of a template, what it extends and what it includes; of unknown ones, who knows."""
    if (name := str(template.origin)) in seen:
        return False
    seen.add(name)
    context = Context()
    with context.bind_template(template):
        for node in template.nodelist.get_nodes_by_type(Node):
            if isinstance(node, InclusionNode) and node.func.__name__ == "moi_assets":
                return True
            try:
                part = _part(node, context)
            except (TemplateDoesNotExist, TemplateSyntaxError):
                return True
            if part is not None and _may_load_assets(part, seen):
                return True
    return False


def _part(node: Any, context: Context) -> DjangoTemplate | None:
    """Return the template that a node extends or includes; raises when its name is a variable."""
    if isinstance(node, ExtendsNode):
        return node.get_parent(context)
    included: Any = node.template.var if isinstance(node, IncludeNode) else node
    if isinstance(included, Variable):
        raise TemplateDoesNotExist(str(included.var))
    name = getattr(node, "filename", included)
    template: Any = context.template
    return template.engine.get_template(name) if isinstance(name, str) else None


@register("moi")
def check_channels(**kwargs: Any) -> list[CheckMessage]:
    """Check what the websocket needs: an ASGI application and a channel layer."""
    found: list[CheckMessage] = []
    if not getattr(settings, "ASGI_APPLICATION", None):
        found.append(
            Warning(
                "ASGI_APPLICATION is not set, so pages will not be live.",
                hint='Set ASGI_APPLICATION = "moi_django.asgi.application", or add '
                "moi_django.routing.websocket_urlpatterns to your own.",
                id="moi.W001",
            )
        )
    layers = getattr(settings, "CHANNEL_LAYERS", {})
    if conf.CHANNEL_LAYER not in layers:
        found.append(
            Error(
                f"CHANNEL_LAYERS has no {conf.CHANNEL_LAYER!r}.",
                hint="CHANNEL_LAYERS = {'default': {'BACKEND': "
                "'moi_django.layers.MoiChannelLayer'}}",
                id="moi.E006",
            )
        )
    elif "channels_redis.core" in layers[conf.CHANNEL_LAYER].get("BACKEND", ""):
        found.append(_core_layer())
    return found


def _core_layer() -> CheckMessage:
    return Warning(
        "channels_redis.core drops messages when many changes come at once.",
        hint="Pages then take snapshots again and again. Use "
        "'moi_django.layers.MoiChannelLayer' or channels_redis.pubsub.RedisPubSubChannelLayer, "
        'under an alias of its own in MOI["CHANNEL_LAYER"].',
        id="moi.W002",
    )


@register("moi")
def check_login(**kwargs: Any) -> list[CheckMessage]:
    """Check that the websocket can know its user."""
    needed = ("django.contrib.auth", "django.contrib.sessions")
    missing = [name for name in needed if not apps.is_installed(name)]
    if not missing:
        return []
    return [
        Warning(
            f"{' and '.join(missing)} not installed: nobody can be logged in.",
            hint='Add to INSTALLED_APPS, or set MOI["ANONYMOUS_USER"] and your own ASGI stack.',
            id="moi.W003",
        )
    ]
