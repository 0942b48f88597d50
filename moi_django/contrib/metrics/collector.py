"""A collector of prometheus_client, which reads at each scrape what Redis and controllers say.

    REGISTRY.register(JobsCollector())

It holds nothing of its own, so any process of the site, and several at once, give the same numbers.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.registry import Collector

from moi_django import __version__
from moi_django.conf import conf
from moi_django.contrib.health.heartbeat import reconciled_at
from moi_django.contrib.metrics import event_counts
from moi_django.contrib.metrics.families import FAMILIES
from moi_django.contrib.metrics.websockets import count_websockets
from moi_django.contrib.monitoring.cluster_state import EngineCondition, get_cluster_state
from moi_django.models import State

_CLASSES = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
    "histogram": HistogramMetricFamily,
}
ENDS = [state for state in State if state.finished]


class JobsCollector(Collector):
    """The metrics of a site's jobs, engines and pages."""

    def describe(self) -> Iterator[Any]:
        """Yield the metrics without numbers: to be registered costs no look at Redis."""
        return map(_make, FAMILIES)

    def collect(self) -> Iterator[Any]:
        """Yield the metrics with what is so now. Raises StoreUnavailable or NotRunning."""
        # All is read before anything is given away: half of it would be taken for all.
        counts, state = event_counts.read_counts(), get_cluster_state()
        sockets, reconciled = count_websockets(), reconciled_at()
        backlog = _make("moi_events_waiting")
        for consumer, count in event_counts.read_backlog().items():
            backlog.add_metric([consumer], count)
        info = _make("moi_info")
        info.add_metric([__version__], 1)
        contexts = sorted({*conf.CONTEXTS, *event_counts.contexts_in(counts)})
        return iter(
            [
                info,
                *_counters(counts, contexts),
                *_histograms(counts, contexts),
                *_jobs(state),
                *_contexts(state),
                *_engines(state),
                _single("moi_websockets", sockets),
                _single("moi_reconciler_timestamp_seconds", reconciled),
                backlog,
            ]
        )


def _make(name: str) -> Any:
    family = FAMILIES[name]
    return _CLASSES[family.type](name, family.help, labels=family.labels)


def _single(name: str, value: float | None) -> Any:
    """Return a metric with one number, or without when nobody knows."""
    family = _make(name)
    if value is not None:
        family.add_metric([], value)
    return family


def _counters(counts: dict[str, float], contexts: list[str]) -> Iterator[Any]:
    submitted, started = _make("moi_jobs_submitted_total"), _make("moi_attempts_started_total")
    ended = _make("moi_jobs_ended_total")
    for context in contexts:
        # From 0 on, so that the first one is an increase.
        submitted.add_metric([context], counts.get(f"submitted:{context}", 0))
        started.add_metric([context], counts.get(f"started:{context}", 0))
        for state in ENDS:
            ended.add_metric([context, state], counts.get(f"ended:{state}:{context}", 0))
    yield from (submitted, started, ended)


def _histograms(counts: dict[str, float], contexts: list[str]) -> Iterator[Any]:
    waits, runs = _make("moi_job_wait_seconds"), _make("moi_job_run_seconds")
    for context in contexts:
        waits.add_metric([context], *event_counts.histogram(counts, "wait", context))
        for state in ENDS:
            numbers = event_counts.histogram(counts, f"run:{state}", context)
            runs.add_metric([context, state], *numbers)
    yield from (waits, runs)


def _jobs(state: Any) -> Iterator[Any]:
    jobs = _make("moi_jobs")
    for name, count in state.states.items():
        jobs.add_metric([name], count)
    yield from (jobs, _single("moi_jobs_delayed", state.paused))


def _contexts(state: Any) -> Iterator[Any]:
    families = {
        "moi_jobs_waiting": lambda context: context.waiting,
        "moi_job_oldest_wait_seconds": lambda context: context.longest or 0,
        "moi_context_up": lambda context: context.answers,
        "moi_context_paused": lambda context: context.paused is not None,
    }
    for name, value in families.items():
        family = _make(name)
        for context in state.contexts:
            family.add_metric([context.name], float(value(context)))
        yield family


def _engines(state: Any) -> Iterator[Any]:
    engines, drained = _make("moi_engines"), _make("moi_engines_drained")
    found = Counter((engine.context, engine.condition) for engine in state.engines)
    out = Counter(engine.context for engine in state.engines if engine.drained)
    for context in state.contexts:
        drained.add_metric([context.name], out[context.name])
        for condition in EngineCondition:
            engines.add_metric([context.name, condition], found[context.name, condition])
    yield from (engines, drained)
