"""Find a wrong install before it is run: `manage.py check` says what to do about it."""

import difflib
import json
import os
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.utils.module_loading import import_string

from moi_django.conf import DEFAULT_CONTEXT, DEFAULTS, conf

CONTEXT_KEYS = {"connection_file", "profile", "profile_dir", "cluster_id"}
# What a setting may be whose default is None; others have a check of their own.
OPTIONAL: dict[str, tuple[Any, str]] = {
    "WEBSOCKET_URL": (str, "a text"),
    "ANONYMOUS_USER": (str, "a text"),
    "STATE_DIR": ((str, os.PathLike), "a path"),
}
MAY_BE_ZERO = {
    *("CANCEL_GRACE", "RESULT_PATIENCE", "RESULT_PREVIEW", "PUSH_EVERY", "TICK"),
    "STRAY_FILES_AGE",
}
# Of a SECRET_KEY that Django, too, calls secret; and how the ones start that it makes for a start.
SECRET_LENGTH, SECRET_VARIETY, INSECURE = 50, 5, "django-insecure-"


@register("moi")
def check_settings(**kwargs: Any) -> list[CheckMessage]:
    """Check the names and the kinds of the settings in MOI."""
    given = getattr(settings, "MOI", {})
    if not isinstance(given, dict):
        return [Error("MOI is not a dict.", hint='MOI = {"KEY_PREFIX": ...}', id="moi.E001")]
    found: list[CheckMessage] = [_unknown(name) for name in given if name not in DEFAULTS]
    for name, default in DEFAULTS.items():
        value = given.get(name, default)
        if not _is_like(value, default, name):
            like = OPTIONAL[name][1] if name in OPTIONAL else f"a value like {default!r}"
            hint = f"Give {like}; the default is {default!r}."
            found.append(Error(f'MOI["{name}"] is {value!r}.', hint=hint, id="moi.E003"))
        elif _is_number(default) and not (value > 0 or (value == 0 and name in MAY_BE_ZERO)):
            least = "0 or more" if name in MAY_BE_ZERO else "more than 0"
            hint = f"Give {least}; the default is {default!r}."
            found.append(Error(f'MOI["{name}"] is {value!r}.', hint=hint, id="moi.E008"))
    return found


def _is_like(value: Any, default: Any, name: str) -> bool:
    """Tell whether a value is of the kind of a default: a whole number will do for any number."""
    if default is None:
        return value is None or name not in OPTIONAL or isinstance(value, OPTIONAL[name][0])
    if isinstance(default, float):
        return _is_number(value)
    return isinstance(value, type(default)) and isinstance(value, bool) == isinstance(default, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _unknown(name: Any) -> CheckMessage:
    near = difflib.get_close_matches(str(name).upper(), DEFAULTS, 1)
    return Error(
        f'MOI["{name}"] is no setting.',
        hint=f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(DEFAULTS)}.",
        id="moi.E002",
    )


@register("moi")
def check_redis_url(**kwargs: Any) -> list[CheckMessage]:
    """Check that Redis is named by a url."""
    found: list[CheckMessage] = []
    for name in ("REDIS_URL", "ENGINE_REDIS_URL"):
        url = getattr(conf, name)
        if url is not None and not str(url).startswith(("redis://", "rediss://", "unix://")):
            found.append(
                Error(
                    f'MOI["{name}"] is not the url of a Redis.',
                    hint="Such as redis://localhost:6379/0, rediss://..., or unix:///path",
                    id="moi.E004",
                )
            )
    return found


@register("moi")
def check_contexts(**kwargs: Any) -> list[CheckMessage]:
    """Check that each context says how to find a cluster, in words that we know."""
    contexts = conf.CONTEXTS
    if not isinstance(contexts, dict):
        return []  # check_settings says so
    found: list[CheckMessage] = []
    for name, given in contexts.items():
        unknown = set(given) - CONTEXT_KEYS if isinstance(given, dict) else {repr(given)}
        if unknown or (not given and name != DEFAULT_CONTEXT):
            found.append(
                Error(
                    f'MOI["CONTEXTS"][{name!r}] does not say where its cluster is.',
                    hint=f"Give some of {', '.join(sorted(CONTEXT_KEYS))}, not {given!r}.",
                    id="moi.E007",
                )
            )
    if DEFAULT_CONTEXT not in contexts:
        found.append(
            Warning(
                f'MOI["CONTEXTS"] has no {DEFAULT_CONTEXT!r}.',
                hint="submit_nouser, ctx_default and `manage.py moi submit` use it.",
                id="moi.W005",
            )
        )
    return found


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
def check_authorize(**kwargs: Any) -> list[CheckMessage]:
    """Check that the hook can be found."""
    hook = conf.AUTHORIZE
    try:
        hook = import_string(hook) if isinstance(hook, str) else hook
    except ImportError as error:
        return [
            Error(
                f'MOI["AUTHORIZE"] cannot be imported: {error}.',
                hint="Give the dotted path of a function (user, action, info).",
                id="moi.E005",
            )
        ]
    if hook is not None and not callable(hook):
        return [Error('MOI["AUTHORIZE"] cannot be called.', id="moi.E005")]
    return []


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


@register("moi", deploy=True)
def check_redis_is_safe(**kwargs: Any) -> list[CheckMessage]:
    """Check that Redis, which decides what pages show, is not open to the network."""
    found: list[CheckMessage] = []
    for url in {conf.configured_redis_url, conf.ENGINE_REDIS_URL} - {None}:
        parts = urlsplit(str(url))
        if parts.scheme == "redis" and not _is_local(parts.hostname or ""):
            found.append(
                Warning(
                    f"Redis at {parts.hostname} is reached without encryption.",
                    hint="Give a rediss:// url.",
                    id="moi.W010",
                )
            )
        if parts.scheme != "unix" and not parts.password:
            found.append(
                Warning(
                    f"Redis at {parts.hostname} asks for no password.",
                    hint="Set requirepass or an ACL, and give the password in the url.",
                    id="moi.W011",
                )
            )
    return found


@register("moi", deploy=True)
def check_clusters_are_safe(**kwargs: Any) -> list[CheckMessage]:
    """Check that nobody else can send code to the clusters."""
    # Costs an import of Redis, which the other checks do without.
    from moi_django.cluster.connections import connection_file

    found: list[CheckMessage] = []
    for name in conf.CONTEXTS:
        file = connection_file(name)
        try:
            said, mode = json.loads(file.read_text()), file.stat().st_mode
        except (OSError, ValueError):
            continue  # it does not run now, so there is nothing to look at
        if mode & 0o077:
            found.append(
                Warning(
                    f"Others may read {file}, and so run code on the cluster of {name!r}.",
                    hint=f"chmod 600 {file}",
                    id="moi.W012",
                )
            )
        if not said.get("curve_serverkey"):
            found += _without_curve(name, said)
    return found


def _without_curve(name: str, said: dict[str, Any]) -> Iterator[CheckMessage]:
    """Complain of a controller that relies on more than the keys of its connections."""
    host = str(said.get("interface", "")).partition("://")[2]
    if not said.get("ssh") and not _is_local(host):
        yield Warning(
            f"The controller of {name!r} listens on {host} without encryption.",
            hint="Start it with `ipcontroller --enable-curve`, or on 127.0.0.1.",
            id="moi.W013",
        )
    if not said.get("key"):
        yield Warning(
            f"The messages of the cluster of {name!r} are not signed: whoever reaches one of its "
            "ports can run code on its engines.",
            hint="Leave `c.Session.key` to ipcontroller, which makes one up, or start it with "
            "`--enable-curve`.",
            id="moi.W014",
        )


@register("moi", deploy=True)
def check_secret_key(**kwargs: Any) -> list[CheckMessage]:
    """Check that nobody can guess what the functions in Redis are signed with."""
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    if all(map(_is_secret, keys)):
        return []
    return [
        Warning(
            "SECRET_KEY, or one of SECRET_KEY_FALLBACKS, can be guessed. Functions that wait in "
            "Redis are signed with it: whoever knows it and can write to Redis can run code on the "
            "engines.",
            hint=f"Give {SECRET_LENGTH} random characters or more: python -c 'from "
            "django.core.management.utils import *; print(get_random_secret_key())'",
            id="moi.W015",
        )
    ]


def _is_secret(key: str | bytes) -> bool:
    text = key.decode(errors="replace") if isinstance(key, bytes) else key
    is_long = len(text) >= SECRET_LENGTH and len(set(text)) >= SECRET_VARIETY
    return is_long and not text.startswith(INSECURE)


@register("moi", deploy=True)
def check_layer_is_lossless(**kwargs: Any) -> list[CheckMessage]:
    """Check that the channel layer does not drop what pages have to hear."""
    layers = getattr(settings, "CHANNEL_LAYERS", {})
    if "InMemoryChannelLayer" not in layers.get(conf.CHANNEL_LAYER, {}).get("BACKEND", ""):
        return []
    return [
        Warning(
            "InMemoryChannelLayer drops messages without a word when many changes come at once.",
            hint="Each server process may have a layer of its own, but pages that miss messages "
            "take snapshots again and again. Use 'moi_django.layers.MoiChannelLayer'.",
            id="moi.W016",
        )
    ]


def _is_local(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
