"""A submit is a span, whose context goes with the job; OpenTelemetry's SDK keeps what there is."""

import threading

import pytest
from django.db import transaction
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from moi_django import Group, Job, submit
from moi_django.cluster.payloads import verify_payload
from moi_django.contrib.job_functions.decorator import job
from moi_django.contrib.tracing.submit_spans import ATTEMPT_SPAN
from moi_django.exceptions import InvalidJob, StoreUnavailable
from moi_django.models import State

pytestmark = pytest.mark.django_db


@pytest.fixture
def exporter(monkeypatch):
    """The spans of this process; the provider is global, and can be set once only."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    return exporter


@pytest.fixture(autouse=True)
def settings_of_moi(moi):
    moi["ON_COMMIT"] = False
    moi["CONTEXTS"] = {"default": {}, "lab": {"connection_file": "/dev/null/none"}}


def work(*args):
    return args


def around_of(store, job):
    return verify_payload(job.info, store.jobs.payload(job.id)).around


def carrier_of(store, job):
    return around_of(store, job)[ATTEMPT_SPAN]["carrier"]


def test_a_submit_is_a_span_whose_context_goes_with_the_job(store, exporter):
    token = context.attach(baggage.set_baggage("request", "r-1"))
    with trace.get_tracer("site").start_as_current_span("view"):
        job = submit("lab", "ada", "Simulate", None, work, 1)
    context.detach(token)
    span, view = exporter.get_finished_spans()
    assert (span.name, span.kind) == (f"submit {__name__}.work", trace.SpanKind.PRODUCER)
    assert span.parent.span_id == view.context.span_id
    assert dict(span.attributes) == {
        "messaging.system": "moi",
        "messaging.operation.name": "submit",
        "messaging.operation.type": "send",
        "messaging.destination.name": "lab",
        "messaging.message.id": job.id,
        "code.function.name": f"{__name__}.work",
        "moi.job.name": "Simulate",
    }
    carrier = carrier_of(store, job)
    ids = f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-0"
    assert carrier["traceparent"].startswith(ids)
    assert carrier["baggage"] == "request=r-1"


def test_the_names_are_those_of_the_conventions(store, exporter):
    from opentelemetry.semconv import schemas
    from opentelemetry.semconv._incubating.attributes import (
        code_attributes,
        error_attributes,
        messaging_attributes,
    )

    submit("lab", "ada", "Simulate", None, work)
    Group.map(work, [1, 2], owner="ada", name="Many", context="lab")
    known = {
        value
        for module in (code_attributes, error_attributes, messaging_attributes)
        for name, value in vars(module).items()
        if name.isupper() and isinstance(value, str)
    }
    for span in exporter.get_finished_spans():
        assert {name for name in span.attributes if not name.startswith("moi.")} <= known
        kinds = {each.value for each in messaging_attributes.MessagingOperationTypeValues}
        assert span.attributes["messaging.operation.type"] in kinds
        versions = {each.value for each in schemas.Schemas}
        assert span.instrumentation_scope.schema_url in versions


def test_a_map_is_one_span_for_all_its_jobs(store, exporter):
    group = Group.map(work, range(3), owner="ada", name="Many", context="lab")
    [span] = exporter.get_finished_spans()
    assert span.attributes["messaging.batch.message_count"] == 3
    jobs = [Job.get(id) for id in store.tree.members(group.id)]
    assert len({carrier_of(store, job)["traceparent"] for job in jobs}) == 1


def test_the_span_ends_with_the_commit_and_there_is_none_without(
    moi, store, exporter, transactional_db
):
    moi["ON_COMMIT"] = True
    with transaction.atomic():
        submit("lab", "ada", "Simulate", None, work)
        assert exporter.get_finished_spans() == ()
    assert len(exporter.get_finished_spans()) == 1
    with pytest.raises(KeyError), transaction.atomic():
        submit("lab", "ada", "Simulate", None, work)
        raise KeyError
    assert len(exporter.get_finished_spans()) == 1


def test_what_cannot_be_sent_is_an_error(moi, store, exporter):
    failed = submit("lab", "ada", "Simulate", None, work, threading.Lock())
    assert failed.state is State.FAILED
    [span] = exporter.get_finished_spans()
    assert not span.status.is_ok
    assert span.status.description == "1 of 1 jobs cannot be sent"


def test_an_error_of_redis_is_recorded(moi, own_redis, exporter):
    moi["REDIS_URL"] = own_redis.url
    prepared = job(context="lab")(work)
    prepared.submit("ada")
    own_redis.kill()
    with pytest.raises(StoreUnavailable):
        prepared.submit("ada")
    _, span = exporter.get_finished_spans()
    assert not span.status.is_ok and span.events[0].name == "exception"


def test_a_retry_is_in_the_trace_that_asks_for_it_and_has_a_link_to_the_other(store, exporter):
    first = submit("lab", "ada", "Simulate", None, work)
    first.cancel()
    second = first.retry()
    submitted, retried = exporter.get_finished_spans()
    assert retried.name == f"retry {__name__}.work"
    assert [link.context.span_id for link in retried.links] == [submitted.context.span_id]
    assert retried.attributes["messaging.message.id"] == second.id
    assert f"{retried.context.span_id:016x}" in carrier_of(store, second)["traceparent"]
    with pytest.raises(InvalidJob):
        first.retry()
    assert len(exporter.get_finished_spans()) == 2


def test_without_a_provider_nothing_goes_with_a_job(store):
    assert around_of(store, submit("lab", "ada", "Simulate", None, work)) == {}
