"""The span of an attempt, in the process of the job: what the job traces is below it.

It needs no Django, and nothing happens where OpenTelemetry is not installed.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from moi_django.contrib.tracing import conventions
from moi_django.engine.current import current_job

# Seconds for which the end of a job waits for its spans to be exported.
FLUSH_TIMEOUT = 2.0


@contextmanager
def attempt_span(given: dict[str, Any]) -> Iterator[None]:
    """Trace an attempt as a child of the span in which it was submitted, with its baggage."""
    try:
        from opentelemetry import context, propagate, trace
    except ModuleNotFoundError:
        yield
        return
    pid = os.getpid()
    token = context.attach(propagate.extract(given["carrier"]))
    span = _start_span(given["function"])
    try:
        with trace.use_span(span, record_exception=False, set_status_on_exception=False):
            yield
    except BaseException as error:
        _note_error(span, error)
        raise
    finally:
        context.detach(token)
        if os.getpid() == pid:  # not in a process that the job has forked
            span.end()
            _flush()


def _start_span(function: str) -> Any:
    from opentelemetry import trace

    job = current_job()
    assert job is not None  # noqa: S101 - its process enters it first
    name = conventions.span_name(conventions.RUN, function)
    return trace.get_tracer(conventions.TRACER, schema_url=conventions.SCHEMA).start_span(
        name,
        kind=trace.SpanKind.CONSUMER,
        attributes={
            **conventions.span_attributes(conventions.RUN, job.context, function),
            "messaging.message.id": job.id,
            "moi.job.name": job.name,
            "moi.job.attempt": job.attempt,
        },
    )


def _note_error(span: Any, error: BaseException) -> None:
    """Let a span say with what its attempt failed; `sys.exit()` and code 0 are a success."""
    from opentelemetry import trace

    if isinstance(error, SystemExit) and (error.code is None or error.code == 0):
        return
    span.record_exception(error)
    kind = type(error)
    span.set_attribute("error.type", f"{kind.__module__}.{kind.__qualname__}")
    span.set_status(trace.Status(trace.StatusCode.ERROR, f"{kind.__name__}: {error}"))


def _flush() -> None:
    """Let spans be exported that wait for it: the process may end at once."""
    from opentelemetry import trace

    flush = getattr(trace.get_tracer_provider(), "force_flush", None)
    if flush is None:
        return  # that of the API alone
    # The SDK does not heed the timeout that it takes.
    flushing = threading.Thread(target=flush, name="moi-flush-spans", daemon=True)
    flushing.start()
    flushing.join(FLUSH_TIMEOUT)
