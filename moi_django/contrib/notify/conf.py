"""Read `settings.MOI_NOTIFY` late."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

# Each key with what holds when it is left out.
DEFAULTS: dict[str, Any] = {
    # What users are told of who have not chosen: "never", "failures" or "always".
    "WHEN": "never",
    # And only of jobs that took at least so many seconds, waiting included.
    "MIN_SECONDS": 60.0,
    # Where the site is, for links in what is sent, such as "https://example.org".
    "BASE_URL": "",
    # Who sends e-mails. None: DEFAULT_FROM_EMAIL.
    "FROM_EMAIL": None,
    # A function (user) -> the user's address, or language, or None; or its dotted path.
    "ADDRESS": None,
    "LANGUAGE": None,
    # Name -> {"url": ..., "secret": ..., "when": "always" or "failures"}. With "when" it is told of
    # all jobs, without one of those that name it.
    "WEBHOOKS": {},
    # Signs what goes to addresses that jobs name themselves. None: they may name none.
    "SECRET": None,
    # Networks that are not public and to which webhooks may lead all the same: "10.0.0.0/8".
    "ALLOWED_NETWORKS": (),
    # Seconds for a webhook to answer.
    "TIMEOUT": 10.0,
    # How many times a message is sent until that is given up: about half a day.
    "TRIES": 12,
    # Seconds for which is kept what was sent.
    "KEEP": 86400.0 * 30,
}


def setting(name: str) -> Any:
    """Return what holds now for a key."""
    given = getattr(settings, "MOI_NOTIFY", {})
    # What is no dict the checks complain of.
    return given.get(name, DEFAULTS[name]) if isinstance(given, dict) else DEFAULTS[name]


def hook(name: str) -> Callable[..., Any] | None:
    """Return the function that a key names; raises ImportError when there is none."""
    given = setting(name)
    return import_string(given) if isinstance(given, str) else given
