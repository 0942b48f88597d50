"""What spans of jobs are called and say, by OpenTelemetry's conventions for messaging.

They are those of schema 1.44.0. A job is a message, its context the destination. Names of spans end
with the function, and not with the destination as those of most messaging systems: what differs
from job to job of one context is what is run.
"""

from functools import partial
from typing import Any

TRACER = "moi_django"
SCHEMA = "https://opentelemetry.io/schemas/1.44.0"
# Names of what is done, and the kinds of operation that these are.
SUBMIT, RETRY, RUN = "submit", "retry", "run"
_TYPES = {SUBMIT: "send", RETRY: "send", RUN: "process"}


def span_name(operation: str, function: str) -> str:
    """Return what a span is called: it is the same for all jobs of a function."""
    return f"{operation} {function}" if function else operation


def span_attributes(operation: str, context: str | None, function: str) -> dict[str, Any]:
    """Return what a span says besides which jobs it is about."""
    attributes = {
        "messaging.system": "moi",
        "messaging.operation.name": operation,
        "messaging.operation.type": _TYPES[operation],
        "messaging.destination.name": context,
        "code.function.name": function,
    }
    return {name: value for name, value in attributes.items() if value}


def function_name(func: Any) -> str:
    """Return the dotted path of a function, of one that a partial or another object calls too."""
    while isinstance(func, partial):
        func = func.func
    name = getattr(func, "__qualname__", "") or type(func).__qualname__
    return f"{getattr(func, '__module__', None) or type(func).__module__}.{name}"[:200]
