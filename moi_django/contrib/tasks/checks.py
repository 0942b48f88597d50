"""Find what is wrong in the OPTIONS of a backend in TASKS."""

from typing import Any

from django.core.checks import CheckMessage, Error

from moi_django.conf import conf
from moi_django.exceptions import InvalidJob
from moi_django.options import Options

KNOWN_OPTIONS = ("CONTEXT", "OWNER", "NAME", "URL", "ON_COMMIT", "JOB")


def check_options(alias: str, options: dict[str, Any]) -> list[CheckMessage]:
    """Check the names and the values of the options."""
    found: list[CheckMessage] = []
    place = f'TASKS["{alias}"]["OPTIONS"]'
    if unknown := sorted(set(options) - set(KNOWN_OPTIONS)):
        hint = f"There are: {', '.join(KNOWN_OPTIONS)}."
        found.append(Error(f"{place} has {unknown[0]!r}.", hint=hint, id="moi.E028"))
    context = options.get("CONTEXT")
    if context is not None and context not in conf.CONTEXTS:
        hint = f'MOI["CONTEXTS"] has {", ".join(map(repr, conf.CONTEXTS))}.'
        found.append(Error(f'{place}["CONTEXT"] is {context!r}.', hint=hint, id="moi.E029"))
    try:
        Options(**options.get("JOB", {}))
    except (InvalidJob, TypeError) as error:
        found.append(Error(f'{place}["JOB"] is wrong.', hint=str(error), id="moi.E030"))
    return found
