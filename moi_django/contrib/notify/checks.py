"""Find what is wrong in MOI_NOTIFY: `manage.py check` says what to do about it."""

import ipaddress
from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from moi_django.contrib.notify.conf import DEFAULTS, hook, setting
from moi_django.contrib.notify.models import When
from moi_django.contrib.notify.safe_http import AddressRefused, checked_url

# A secret that is shorter can be guessed.
MIN_SECRET = 16


@register("moi")
def check_notify(**kwargs: Any) -> list[CheckMessage]:
    """Check the names and the values of the settings."""
    if not apps.is_installed("moi_django.contrib.notify"):
        return []
    given = getattr(settings, "MOI_NOTIFY", {})
    if not isinstance(given, dict):
        return [_wrong("MOI_NOTIFY is not a dict.", 'MOI_NOTIFY = {"WHEN": "failures"}')]
    found = [
        _wrong(f"MOI_NOTIFY[{name!r}] is no setting.", f"There are: {', '.join(DEFAULTS)}.")
        for name in given
        if name not in DEFAULTS
    ]
    found += _wrong_values()
    if found:
        return found
    return [*_check_hooks(), *_check_webhooks(), *_check_networks(), *_check_links()]


def _wrong(complaint: str, hint: str) -> CheckMessage:
    return Error(complaint, hint=hint, id="moi.E060")


def _wrong_values() -> Iterator[CheckMessage]:
    if setting("WHEN") not in When.values:
        yield _wrong('MOI_NOTIFY["WHEN"] is none.', f"Give one of {', '.join(When.values)}.")
    for name in ("MIN_SECONDS", "TIMEOUT", "TRIES", "KEEP"):
        value, least = setting(name), 0 if name == "MIN_SECONDS" else 1
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or value < least:
            yield _wrong(f'MOI_NOTIFY["{name}"] is {value!r}.', f"Give a number from {least} on.")
    for name in ("BASE_URL", "FROM_EMAIL", "SECRET"):
        if not isinstance(setting(name), str | None):
            yield _wrong(f'MOI_NOTIFY["{name}"] is {setting(name)!r:.50}.', "Give a text.")
    if not isinstance(setting("WEBHOOKS"), dict):
        yield _wrong(
            'MOI_NOTIFY["WEBHOOKS"] is not a dict.', '{"chat": {"url": ..., "secret": ...}}'
        )


def _check_hooks() -> Iterator[CheckMessage]:
    for name in ("ADDRESS", "LANGUAGE"):
        problem = ""
        try:
            found = hook(name)
        except ImportError as error:
            problem = str(error)
        else:
            problem = "" if found is None or callable(found) else "it cannot be called"
        if problem:
            yield Error(
                f'MOI_NOTIFY["{name}"] is no function: {problem}.',
                hint="Give a function (user) that returns a text or None, or its dotted path.",
                id="moi.E061",
            )


def _check_webhooks() -> Iterator[CheckMessage]:
    for name, webhook in setting("WEBHOOKS").items():
        if problem := _problem_of(name, webhook):
            yield Error(
                f'MOI_NOTIFY["WEBHOOKS"][{name!r}] is wrong: {problem}.',
                hint='"chat": {"url": "https://...", "secret": "...", "when": "failures"}',
                id="moi.E062",
            )
    secret = setting("SECRET")
    if secret is not None and len(secret) < MIN_SECRET:
        yield _short_secret('MOI_NOTIFY["SECRET"]')


def _problem_of(name: Any, webhook: Any) -> str:
    if not isinstance(name, str) or not name or set(name) & set(" @:/") or name in When.values:
        return "a name is one word without '@', ':' and '/', and none of never, failures and always"
    if not isinstance(webhook, dict) or set(webhook) - {"url", "secret", "when"}:
        return "it has a url, a secret, and perhaps when"
    try:
        checked_url(str(webhook.get("url")))
    except AddressRefused as error:
        return str(error)
    if not isinstance(webhook.get("secret"), str) or len(webhook["secret"]) < MIN_SECRET:
        return f"its secret has fewer than {MIN_SECRET} characters"
    return "" if webhook.get("when", When.NEVER) in When.values else "its when is none"


def _short_secret(where: str) -> CheckMessage:
    return Error(
        f"{where} has fewer than {MIN_SECRET} characters.",
        hint='python -c "import secrets; print(secrets.token_urlsafe())" makes one.',
        id="moi.E063",
    )


def _check_networks() -> Iterator[CheckMessage]:
    for network in setting("ALLOWED_NETWORKS"):
        try:
            ipaddress.ip_network(network, strict=False)
        except ValueError as error:
            yield Error(
                f'MOI_NOTIFY["ALLOWED_NETWORKS"] has {network!r}: {error}.',
                hint='Such as "10.0.0.0/8" or "fd00::/8".',
                id="moi.E064",
            )


def _check_links() -> Iterator[CheckMessage]:
    if not str(setting("BASE_URL")).startswith(("http://", "https://")):
        yield Warning(
            "What is sent of jobs has no links: nobody says where the site is.",
            hint='MOI_NOTIFY = {"BASE_URL": "https://example.org"}',
            id="moi.W065",
        )
