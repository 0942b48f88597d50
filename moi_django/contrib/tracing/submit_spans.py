"""The span of a submit, whose context goes with the jobs into their processes.

Nothing is done, nor imported, unless the site itself has imported OpenTelemetry.
"""

import sys
from collections.abc import Callable, Sequence
from typing import Any

from moi_django.contrib.tracing import conventions
from moi_django.models import Info, State

# What a job process enters.
ATTEMPT_SPAN = "moi_django.contrib.tracing.attempt_spans:attempt_span"

Create = Callable[[], Any]
Sending = tuple[dict[str, Any], Callable[[Create, Sequence[Info]], Create]]


def begin_sending(info: Info, func: Any, before: dict[str, Any]) -> Sending:
    """Begin the span of a submit; it ends when the jobs are written, and never if they are not.

    That of a retry, which has no function, is a moment, with a link to what was submitted.
    """
    if "opentelemetry.trace" not in sys.modules:
        return {}, lambda create, infos: create
    from opentelemetry import propagate, trace

    earlier = before.get(ATTEMPT_SPAN, {"carrier": {}, "function": ""})
    operation = conventions.SUBMIT if func is not None else conventions.RETRY
    function = earlier["function"] if func is None else conventions.function_name(func)
    submitted = trace.get_current_span(propagate.extract(earlier["carrier"])).get_span_context()
    tracer = trace.get_tracer(conventions.TRACER, schema_url=conventions.SCHEMA)
    span = tracer.start_span(
        conventions.span_name(operation, function),
        kind=trace.SpanKind.PRODUCER,
        attributes=conventions.span_attributes(operation, info.context, function),
        links=[trace.Link(submitted)] if func is None and submitted.is_valid else [],
    )
    if func is None:
        span.set_attributes(_describe([info]))
        span.end()
    carrier = dict[str, str]()
    propagate.inject(carrier, trace.set_span_in_context(span))
    around = {ATTEMPT_SPAN: {"carrier": carrier, "function": function}} if carrier else {}
    return around, lambda create, infos: _traced(span, create, infos)


def _traced(span: Any, create: Create, infos: Sequence[Info]) -> Create:
    from opentelemetry import trace

    span.set_attributes(_describe(infos))

    def create_jobs() -> Any:  # Django logs this name, should it fail
        with trace.use_span(span, end_on_exit=True):
            if failed := [info for info in infos if info.state is State.FAILED]:
                reason = f"{len(failed)} of {len(infos)} jobs cannot be sent"
                span.set_status(trace.Status(trace.StatusCode.ERROR, reason))
            return create()

    return create_jobs


def _describe(infos: Sequence[Info]) -> dict[str, Any]:
    """Return which jobs a span is about: the one, or how many."""
    if len(infos) != 1:
        return {"messaging.batch.message_count": len(infos)}
    return {"messaging.message.id": infos[0].id, "moi.job.name": infos[0].name}
