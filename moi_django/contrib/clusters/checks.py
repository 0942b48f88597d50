"""Find a context with a LAUNCHER that cannot be started: `manage.py check` says what to do."""

from typing import Any

from django.core.checks import CheckMessage, Error, register

from moi_django.conf import conf
from moi_django.contrib.clusters.context_settings import find_problems


@register("moi")
def check_launchers(**kwargs: Any) -> list[CheckMessage]:
    """Check what contexts with a LAUNCHER say."""
    contexts = conf.CONTEXTS if isinstance(conf.CONTEXTS, dict) else {}
    return [
        Error(
            f'MOI["CONTEXTS"][{name!r}]: {key} makes no sense.',
            hint=problem[:1].upper() + problem[1:],
            id="moi.E070",
        )
        for name, given in contexts.items()
        if isinstance(given, dict) and "LAUNCHER" in given
        for key, problem in find_problems(name, given)
    ]
