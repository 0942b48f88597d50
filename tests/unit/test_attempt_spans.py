"""An attempt is traced in the process of the job, set up as the docs say."""

import os
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from moi_django.contrib.tracing.attempt_spans import attempt_span
from moi_django.contrib.tracing.conventions import function_name
from moi_django.contrib.tracing.submit_spans import ATTEMPT_SPAN, begin_sending
from moi_django.engine.current import current_job
from moi_django.engine.fork_client import ForkServer
from moi_django.engine.supervisor import Supervisor
from moi_django.models import State
from tests.helpers import odd_jobs
from tests.helpers.job_processes import Notes, make_task, timing_out
from tests.helpers.processes import in_time
from tests.helpers.spans import attributes_of, span_collector, write_telemetry

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CARRIER = {"traceparent": f"00-{TRACE}-{PARENT}-01", "baggage": "request=r-1"}
AROUND = {ATTEMPT_SPAN: {"carrier": CARRIER, "function": "work.simulate"}}


@pytest.fixture(scope="module")
def collected():
    with span_collector() as found:
        yield found


@pytest.fixture(scope="module")
def traced(collected, tmp_path_factory):
    """A server of job processes that send their spans to the collector."""
    directory, (url, _) = tmp_path_factory.mktemp("telemetry"), collected
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DJANGO_SETTINGS_MODULE")
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        patch.syspath_prepend(directory)
        server = ForkServer([write_telemetry(directory)])
        server.take().close()
    yield server
    server.close()


def run(server, function, *args, around=AROUND, **options):
    task = make_task(function, *args, around=around)
    return Supervisor(server.take(), task, Notes(), **options).run()


def trace_more():
    from opentelemetry import baggage, trace

    with trace.get_tracer("own").start_as_current_span("own work"):
        return baggage.get_all()


def fail():
    return {}["missing"]


def hold_at(path):
    Path(path).touch()
    time.sleep(60)


def fork_and_return():
    return os.fork() and os.wait()[1]


def test_an_attempt_is_a_span_below_that_of_its_submit(traced, collected):
    _, spans = collected
    spans.clear()
    assert run(traced, trace_more).result == {"request": "r-1"}
    # They are there as soon as the job has ended.
    own, attempt = spans
    assert (own.name, own.parent_span_id) == ("own work", attempt.span_id)
    assert attempt.name == "run work.simulate"
    assert attempt.kind == Span.SPAN_KIND_CONSUMER
    assert (attempt.trace_id.hex(), attempt.parent_span_id.hex()) == (TRACE, PARENT)
    assert attributes_of(attempt) == {
        "messaging.system": "moi",
        "messaging.operation.name": "run",
        "messaging.operation.type": "process",
        "messaging.destination.name": "default",
        "messaging.message.id": "a-job",
        "code.function.name": "work.simulate",
        "moi.job.name": "A job",
        "moi.job.attempt": 1,
    }


def test_what_an_attempt_raises_is_in_its_span_and_its_traceback_is_as_ever(traced, collected):
    _, spans = collected
    spans.clear()
    end = run(traced, fail)
    assert end.state is State.FAILED
    assert end.result == run(traced, fail, around={}).result
    [span] = spans  # what was not submitted with one has none
    assert span.status.code == Status.STATUS_CODE_ERROR
    assert span.status.message.startswith("KeyError: ")
    assert attributes_of(span)["error.type"] == "builtins.KeyError"
    assert [event.name for event in span.events] == ["exception"]


@pytest.mark.parametrize(("code", "is_error"), [(0, False), (3, True)])
def test_an_exit_is_told_as_it_is(traced, collected, code, is_error):
    _, spans = collected
    spans.clear()
    end = run(traced, sys.exit, code)
    assert (end.state is State.FAILED) is is_error
    [span] = spans
    assert (span.status.code == Status.STATUS_CODE_ERROR) is is_error


def test_an_interrupt_is_told_as_an_error(traced, collected, tmp_path):
    _, spans = collected
    spans.clear()
    path = tmp_path / "held"
    task = make_task(hold_at, str(path), around=AROUND)
    supervisor = Supervisor(traced.take(), task, Notes(), grace=60)
    with timing_out(supervisor, path.exists):
        assert supervisor.run().state is State.FAILED
    [span] = spans
    assert span.status.code == Status.STATUS_CODE_ERROR


def test_a_process_that_the_job_has_forked_ends_no_span(traced, collected):
    _, spans = collected
    spans.clear()
    assert run(traced, fork_and_return).result == 0
    assert len(spans) == 1


def test_where_nothing_is_set_up_a_job_runs_as_ever(fork_server):
    end = run(fork_server, odd_jobs.coroutine)
    assert (end.state, end.result) == (State.SUCCESS, "awaited")
    assert run(fork_server, trace_more).result == {"request": "r-1"}


def test_a_collector_that_is_away_costs_a_job_two_seconds_at_most(traced, collected, silent):
    began = time.monotonic()

    def leave(url):
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        provider = trace.get_tracer_provider()
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(url)))

    host, port = silent.getsockname()
    end = in_time(6, lambda: run(traced, leave, f"http://{host}:{port}/v1/traces"))
    assert end.state is State.SUCCESS
    assert time.monotonic() - began > 1.9


def test_a_function_is_called_by_its_path():
    assert function_name(odd_jobs.coroutine) == "tests.helpers.odd_jobs.coroutine"
    assert function_name(partial(partial(pow, 2), 3)) == "builtins.pow"
    assert function_name([].append) == "builtins.list.append"


def test_where_opentelemetry_is_not_installed_nothing_is_traced(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with attempt_span(AROUND[ATTEMPT_SPAN]):
        assert current_job() is None  # as it needs none


def test_where_the_site_has_not_imported_it_a_submit_does_not_either(monkeypatch):
    monkeypatch.delitem(sys.modules, "opentelemetry.trace")
    around, sent = begin_sending(None, trace_more, {})
    assert around == {} and sent(fail, []) is fail
    assert "opentelemetry.trace" not in sys.modules
