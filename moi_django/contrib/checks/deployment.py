"""Find what is not safe to deploy: `manage.py check --deploy` says what to do about it."""

import json
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from moi_django.conf import conf

# What Django, too, asks of a SECRET_KEY; and how the keys start that `startproject` makes.
SECRET_LENGTH, SECRET_VARIETY, INSECURE = 50, 5, "django-insecure-"


@register("moi", deploy=True)
def check_redis_is_safe(**kwargs: Any) -> list[CheckMessage]:
    """Check that Redis, which decides what pages show, is not open to the network."""
    found: list[CheckMessage] = []
    for url in {conf.configured_redis_url, conf.ENGINE_REDIS_URL} - {None}:
        parts = urlsplit(str(url))
        if parts.scheme in ("redis", "redis+sentinel") and not _is_local(parts.hostname or ""):
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
            hint="Start it with `ipcontroller --IPController.enable_curve=True`, or on 127.0.0.1.",
            id="moi.W013",
        )
    if not said.get("key"):
        yield Warning(
            f"The messages of the cluster of {name!r} are not signed: whoever reaches one of its "
            "ports can run code on its engines.",
            hint="Leave `c.Session.key` to ipcontroller, which makes one up, or start it with "
            "`--IPController.enable_curve=True`.",
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
def check_server_is_bounded(**kwargs: Any) -> list[CheckMessage]:
    """Check that no client can fill the memory of the web server."""
    if not apps.is_installed("daphne"):
        return []
    return [
        Warning(
            "daphne keeps all that a client does not read, and older ones frames of any length.",
            hint=f"Serve with uvicorn and --ws-max-size={conf.server_frame_limit}; daphne is for "
            "development.",
            id="moi.W017",
        )
    ]


@register("moi", deploy=True)
def check_redis_keeps_jobs(**kwargs: Any) -> list[CheckMessage]:
    """Check that Redis, when it is there, does not forget jobs by itself."""
    # Costs an import of Redis, which the other checks do without.
    from moi_django.contrib.checks.memory_policy import read_memory_policy

    if not (url := conf.configured_redis_url) or (said := read_memory_policy(url)) is None:
        return []
    found: list[CheckMessage] = []
    if said.is_cluster_node:
        found.append(
            Error(
                "Redis is a node of a Redis Cluster, which keeps keys apart that change together.",
                hint="Name a Redis of its own, or its sentinels.",
                id="moi.E018",
            )
        )
    if said.evicts:
        found.append(
            Warning(
                f"Redis drops keys when it is full (maxmemory-policy {said.policy}): jobs vanish.",
                hint="CONFIG SET maxmemory-policy noeviction; a full Redis then refuses new jobs.",
                id="moi.W018",
            )
        )
    if not said.persists:
        found.append(
            Warning(
                "Redis writes nothing to disk: a restart forgets all jobs, those that wait too.",
                hint="CONFIG SET appendonly yes, and the same in its configuration.",
                id="moi.W019",
            )
        )
    return found


def _is_local(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
