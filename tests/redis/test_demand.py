"""How many engines an elastic context needs: by what waits, and by what its engines do."""

from datetime import UTC, datetime, timedelta

import pytest

from moi_django import Group
from moi_django.contrib.clusters.context_settings import read_context
from moi_django.contrib.clusters.context_status import (
    ContextEngine,
    ContextStatus,
    EngineCondition,
)
from moi_django.contrib.clusters.demand import GROW_AFTER, Demand, read_need
from moi_django.contrib.clusters.scaling import choose
from moi_django.models import format_date
from moi_django.store import policy
from moi_django.store.engines import EngineMetrics
from tests.helpers.queues import claim, queued_job

pytestmark = pytest.mark.django_db(transaction=True)

PENDING, IDLE, BUSY = EngineCondition.PENDING, EngineCondition.IDLE, EngineCondition.BUSY
OLD = format_date(datetime.now(UTC) - timedelta(seconds=GROW_AFTER + 1))


@pytest.fixture
def lab(moi):
    """An elastic context."""
    moi["CONTEXTS"] = {
        "default": {},
        "lab": {"LAUNCHER": "slurm", "ENGINES": (1, 4), "IDLE_TIMEOUT": 60},
    }
    return read_context("lab")


@pytest.fixture
def demand(tmp_path):
    """What it has needed, in a file of the test."""
    return Demand(tmp_path / "demand")


def status_of(context, *conditions, refusal=None):
    """Return a context with engines that are so, each of which may take no job."""
    engines = [ContextEngine(condition, None, refusal=refusal) for condition in conditions]
    return ContextStatus(context, 4711, "10.0.0.5:4712", len(engines), engines)


def queue_jobs(store, count, **fields):
    """Let jobs of one user wait."""
    return [queued_job(store, Group.of("ada").info, **fields) for _ in range(count)]


def test_without_engines_each_job_that_waits_needs_one_at_once(store, lab):
    assert read_need(status_of(lab)) == (0, 0)
    queue_jobs(store, 3)
    assert read_need(status_of(lab)) == (3, 3)


def test_with_engines_a_job_that_has_waited_needs_one_besides_those_at_work(store, lab):
    queue_jobs(store, 2)
    assert read_need(status_of(lab, BUSY, BUSY)) == (4, 2)
    queue_jobs(store, 1, date_created=OLD)
    assert read_need(status_of(lab, BUSY, BUSY)) == (5, 3)
    assert read_need(status_of(lab, PENDING)) == (3, 1)


def test_what_cannot_begin_whatever_engines_there_are_needs_none(store, lab):
    store.policy.update({policy.limit_slot("licence"): 2})
    queue_jobs(store, 5, limit="licence")
    assert read_need(status_of(lab)) == (2, 2)
    assert claim(store).info.limit == "licence"
    assert read_need(status_of(lab)) == (1, 1)
    store.policy.start(policy.paused("lab"))
    assert read_need(status_of(lab)) == (0, 0)


def test_engines_of_another_python_than_jobs_need_are_not_multiplied(store, lab):
    queue_jobs(store, 3, date_created=OLD)
    engines = [ContextEngine(IDLE, None, name) for name in ("one", "two")]
    status = ContextStatus(lab, 4711, "10.0.0.5:4712", 2, engines)
    assert read_need(status) == (3, 3)
    store.engines.report(EngineMetrics("one", python="3.12.1"))
    assert read_need(status) == (1, 1)
    store.engines.report(EngineMetrics("two", python="3.11.7"))
    assert read_need(status) == (3, 3)


def test_engines_that_take_no_job_are_not_multiplied(store, lab):
    queue_jobs(store, 4, date_created=OLD)
    assert read_need(status_of(lab, IDLE, IDLE, refusal="no module lab")) == (1, 1)
    assert read_need(status_of(lab, IDLE)) == (4, 4)


def test_engines_that_are_drained_do_not_keep_jobs_waiting_while_there_may_be_others(store, lab):
    idle, busy = (
        ContextEngine(condition, None, "an-engine", job=job, is_drained=True)
        for condition, job in ((IDLE, None), (BUSY, Group.of("ada").info))
    )
    status = ContextStatus(lab, 4711, "10.0.0.5:4712", 2, [idle, busy])
    assert read_need(status) == (1, 1)
    queue_jobs(store, 1)
    assert read_need(status) == (3, 1)
    queue_jobs(store, 1, date_created=OLD)
    assert read_need(status) == (4, 3)
    assert choose([busy, ContextEngine(PENDING, None), idle], 1)[0] is not busy
    assert choose([busy, ContextEngine(IDLE, None), idle], 2) == [idle]


def test_what_was_needed_of_late_is_known_to_who_looks_once_as_with_cron(store, lab, demand):
    queue_jobs(store, 3)
    assert Demand(demand.file).engines(status_of(lab), 1, 100.0) == 3
    while claim(store):
        pass
    assert Demand(demand.file).engines(status_of(lab, IDLE), 3, 130.0) == 3
    assert Demand(demand.file).engines(status_of(lab, IDLE), 3, 161.0) == 1


@pytest.mark.parametrize("content", ["", "{}", '{"kept": 4, "usable": [1]}', "[]"])
def test_what_is_noted_and_cannot_be_read_is_as_if_there_were_nothing(store, lab, demand, content):
    demand.file.write_text(content)
    assert demand.engines(status_of(lab), 4, 100.0) == 4
    assert demand.engines(status_of(lab), 4, 161.0) == 1


def test_a_clock_that_was_set_back_keeps_nothing_for_longer(store, lab, demand):
    assert demand.engines(status_of(lab), 4, 9000.0) == 4
    assert demand.engines(status_of(lab), 4, 100.0) == 1


def test_what_jobs_can_use_is_kept_within_the_bounds_and_for_the_idle_timeout(store, lab, demand):
    assert demand.engines(status_of(lab), 1, 100.0) == 1
    queue_jobs(store, 6)
    assert demand.engines(status_of(lab), 1, 105.0) == 4
    assert demand.engines(status_of(lab, IDLE), 4, 300.0) == 4
    while claim(store):
        pass
    assert demand.engines(status_of(lab, BUSY, BUSY), 4, 310.0) == 4
    assert demand.engines(status_of(lab, BUSY, BUSY), 4, 359.0) == 4
    assert demand.engines(status_of(lab, BUSY), 4, 369.9) == 2
    assert demand.engines(status_of(lab), 2, 450.0) == 1


def test_a_job_that_an_engine_may_take_soon_asks_for_none(store, lab, demand):
    queue_jobs(store, 2)
    assert demand.engines(status_of(lab, IDLE), 1, 100.0) == 1


def test_what_somebody_asks_for_is_kept_as_long_as_what_was_needed(store, lab, demand):
    assert demand.engines(status_of(lab), 1, 100.0) == 1
    assert demand.engines(status_of(lab), 3, 200.0) == 3
    assert demand.engines(status_of(lab), 3, 259.0) == 3
    assert demand.engines(status_of(lab), 3, 261.0) == 1
