"""Find a wrong setting before it is used: `manage.py check` says what to do about it."""

import difflib
import os
from contextvars import ContextVar
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.utils.module_loading import import_string

from moi_django.conf import DEFAULT_CONTEXT, DEFAULTS, conf
from moi_django.validation import unfit_character

# What says where a cluster is that others have started.
CONTEXT_KEYS = {"connection_file", "profile", "profile_dir", "cluster_id", "BACKEND"}
# How the url of a Redis may begin.
SCHEMES = ("redis://", "rediss://", "unix://", "redis+sentinel://", "rediss+sentinel://")
# What a context may be run by.
BACKENDS = ("ipyparallel", "immediate")

# What a setting may be whose default is None; others have a check of their own.
OPTIONAL: dict[str, tuple[Any, str]] = {
    "WEBSOCKET_URL": (str, "a text"),
    "ANONYMOUS_USER": (str, "a text"),
    "LIST_URL": (str, "a text"),
    "STATE_DIR": ((str, os.PathLike), "a path"),
    "ENGINE_IMPORTS": ((list, tuple), "a list of modules"),
    "MEMORY_LIMIT": (int, "a whole number of bytes"),
    "MONITOR_TOKEN": (str, "a text"),
    "HEALTH_MAX_WAIT": ((int, float), "seconds"),
}

MAY_BE_ZERO = {
    *("CANCEL_GRACE", "RESULT_PATIENCE", "RESULT_PREVIEW", "TICK"),
    *("STRAY_FILES_AGE", "LINGER"),
}


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
        is_bool = isinstance(value, bool)
        fits = name not in OPTIONAL or (isinstance(value, OPTIONAL[name][0]) and not is_bool)
        return value is None or fits
    if isinstance(default, float):
        return _is_number(value)
    if isinstance(default, tuple):
        is_list = isinstance(value, (list, tuple))
        return is_list and all(isinstance(each, str) for each in value)
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
        if url is not None and (problem := _url_problem(str(url))) is not None:
            found.append(
                Error(
                    f'MOI["{name}"] is not the url of a Redis{problem}.',
                    hint="Such as redis://localhost:6379/0, rediss://..., unix:///path, or "
                    "redis+sentinel://host:26379,host2:26379/name/0",
                    id="moi.E004",
                )
            )
    return found


def _url_problem(url: str) -> str | None:
    """Return what is wrong with a url, as the end of a sentence; None when nothing is."""
    if not url.startswith(SCHEMES):
        return ""
    if "+sentinel://" in url:
        # Costs an import of Redis, which other urls do without.
        from moi_django.contrib.sentinel.primary import get_sentinels

        try:
            get_sentinels(url)
        except ValueError as error:
            return f": {error}"
    return None


@register("moi")
def check_contexts(**kwargs: Any) -> list[CheckMessage]:
    """Check that each context says how to find a cluster, in words that we know."""
    contexts = conf.CONTEXTS
    if not isinstance(contexts, dict):
        return []  # check_settings says so
    found: list[CheckMessage] = []
    for name, given in contexts.items():
        if isinstance(given, dict) and "LAUNCHER" in given:
            continue  # contrib.clusters.checks looks at it
        unknown = set(given) - CONTEXT_KEYS if isinstance(given, dict) else {repr(given)}
        if not unknown and given.get("BACKEND", BACKENDS[0]) not in BACKENDS:
            unknown = {given["BACKEND"]}
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
def check_limits(**kwargs: Any) -> list[CheckMessage]:
    """Check that limits are names with numbers."""
    limits = conf.LIMITS
    if not isinstance(limits, dict):
        return []  # check_settings says so
    found: list[CheckMessage] = []
    for name, number in limits.items():
        problem = None
        if not _is_limit_name(name):
            problem = "Give a name without ':' and control characters; Options(limit=NAME) uses it."
        elif not _is_count(number):
            problem = "Give how many jobs may run at once, a whole number from 0 on."
        if problem:
            complaint = f'MOI["LIMITS"] has {name!r}: {number!r}.'
            found.append(Error(complaint, hint=problem, id="moi.E026"))
    return found


@register("moi")
def check_owner_limit(**kwargs: Any) -> list[CheckMessage]:
    """Check that the limit of an owner is a number, or a function that can be found."""
    limit: Any = conf.OWNER_LIMIT
    hint = "Give a whole number from 0 on, None, or a function (owner, context) or its dotted path."
    complaint = f'MOI["OWNER_LIMIT"] is {limit!r}.'
    try:
        limit = import_string(limit) if isinstance(limit, str) else limit
    except ImportError as error:
        complaint = f'MOI["OWNER_LIMIT"] cannot be imported: {error}.'
    if limit is None or _is_count(limit) or callable(limit):
        return []
    return [Error(complaint, hint=hint, id="moi.E027")]


@register("moi")
def check_request_id(**kwargs: Any) -> list[CheckMessage]:
    """Check that what has the id of a request can be found."""
    source: Any = conf.REQUEST_ID
    complaint = f'MOI["REQUEST_ID"] is {source!r}.'
    try:
        source = import_string(source) if isinstance(source, str) else source
    except ImportError as error:
        complaint = f'MOI["REQUEST_ID"] cannot be imported: {error}.'
    if source is None or isinstance(source, ContextVar) or callable(source):
        return []
    hint = "Give a function without arguments, a ContextVar, or the dotted path of one."
    return [Error(complaint, hint=hint, id="moi.E031")]


def _is_limit_name(name: Any) -> bool:
    return isinstance(name, str) and name != "" and ":" not in name and not unfit_character(name)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
