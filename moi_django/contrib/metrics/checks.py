"""Find what keeps metrics from being read: `manage.py check` says what to do about it."""

from importlib.util import find_spec
from typing import Any

from django.core.checks import CheckMessage, Error, Warning, register

from moi_django.conf import conf

# Characters of a token that nobody guesses.
TOKEN_LENGTH = 16


@register("moi")
def check_prometheus_client(**kwargs: Any) -> list[CheckMessage]:
    """Check that what writes the metrics is installed."""
    if find_spec("prometheus_client"):
        return []
    return [
        Error(
            "moi_django.contrib.metrics is installed, and prometheus_client is not.",
            hint="pip install 'moi_django[metrics]'",
            id="moi.E040",
        )
    ]


@register("moi")
def check_token(**kwargs: Any) -> list[CheckMessage]:
    """Check that nobody can guess the token."""
    token = conf.MONITOR_TOKEN
    if not isinstance(token, str) or len(token) >= TOKEN_LENGTH:
        return []  # of another kind check_settings complains
    return [
        Warning(
            f'MOI["MONITOR_TOKEN"] has {len(token)} characters, and can be guessed.',
            hint="python -c 'import secrets; print(secrets.token_urlsafe())'",
            id="moi.W041",
        )
    ]
