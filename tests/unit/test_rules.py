"""The rules about a job: each stands once, on the job, and is repeated nowhere otherwise."""

import re

import pytest

from moi_django.models import BAR_PARTS, GROUP, JOB, RETRIED, UNFINISHED, Info, State
from moi_django.pages.status_div import Row
from moi_django.store.scripts import CONSTANTS
from tests.helpers.package import PACKAGE, static_files

STYLES = {name: path.read_text() for name, path in static_files(".css").items()}


def job(state, **fields):
    return Info(id="x", name="x", type=JOB, pubsub="x", state=state, **fields)


@pytest.mark.parametrize("state", State)
def test_what_may_be_done_with_a_job_in_a_state(state):
    is_unfinished = state in (State.QUEUED, State.RUNNING)
    assert job(state).cancellable is is_unfinished
    assert job(state).finished is not is_unfinished
    may_be_retried = state in (State.FAILED, State.LOST, State.CANCELLED)
    assert job(state).retryable is may_be_retried
    assert job(state, retried="y").retryable is False
    assert job(state).has_failed is (state in (State.FAILED, State.LOST))
    assert job(state, retried="y").has_failed is False


def test_a_group_is_not_cancelled_itself_and_not_retried_itself():
    group = Info(id="x", name="x", type=GROUP, pubsub="x")
    assert not group.cancellable and not group.retryable and not group.has_failed


def test_an_end_has_the_state_its_status_and_its_time():
    begun = job(State.RUNNING, status="half way", version=4)
    ended = begun.ended(State.LOST, result="gone")
    assert (ended.state, ended.status, ended.result, ended.version) == (
        *(State.LOST, "Failed"),
        *("gone", 5),
    )
    assert ended.date_end is not None and ended.finished
    assert begun.ended(State.CANCELLED).result is None


CREATED, STARTED, ENDED = (f"2026-01-02 10:0{minute}:00.000000" for minute in (0, 1, 3))
PRESENT = 1_767_348_300.0  # 10:05


@pytest.mark.parametrize(
    ("dates", "ran", "waited"),
    [
        ({}, None, 300),
        ({"date_start": STARTED}, 240, 60),
        ({"date_start": STARTED, "date_end": ENDED}, 120, 60),
        ({"date_end": ENDED}, None, 180),
        # By clocks of several machines.
        ({"date_start": ENDED, "date_end": STARTED}, 0, 180),
    ],
)
def test_how_long_a_job_ran_and_waited(dates, ran, waited):
    info = job(State.RUNNING, date_created=CREATED, **dates)
    assert (info.ran_seconds(PRESENT), info.waited_seconds(PRESENT)) == (ran, waited)


def test_every_state_is_in_one_part_of_the_bar():
    assert sorted(state for states in BAR_PARTS.values() for state in states) == sorted(State)
    totals = {State.FAILED: 1, State.LOST: 2, State.RUNNING: 4, RETRIED: 8}
    group = Info(id="x", name="x", type=GROUP, pubsub="x", totals=totals)
    assert group.count_below(BAR_PARTS["failed"]) == 3
    assert group.count_below(UNFINISHED) == 4


def test_the_scripts_of_redis_know_the_states():
    assert CONSTANTS["STATES"].split() == [*State]
    assert CONSTANTS["RETRIED"] == RETRIED
    for path in (PACKAGE / "store" / "lua").glob("*.lua"):
        code = re.sub(r"--.*", "", path.read_text())
        assert not set(re.findall(r"'(\w+)'", code)) & {*State} - {"running"}, path


def states_of(selector):
    return set(re.findall(r'data-state="(\w+)"', selector))


@pytest.mark.parametrize("state", State)
def test_a_row_offers_what_may_be_done(state):
    """With its script, tests/browser/test_script_rules.py compares the same."""
    row = Row(job(state))
    assert (row.may_cancel, row.may_retry) == (job(state).cancellable, job(state).retryable)
    group = Row(Info(id="x", name="x", type=GROUP, pubsub="x", totals={state: 1}))
    assert (group.may_cancel, group.may_retry) == (job(state).cancellable, job(state).has_failed)


def test_the_style_knows_every_part_and_every_state():
    parts = re.findall(r'\.moi-bar \[data-part="(\w+)"\]', STYLES["moi.css"])
    assert sorted(parts) == sorted(BAR_PARTS)
    for name, text in STYLES.items():
        # What waits has a mark without a colour.
        assert states_of(text) >= {*State} - {State.QUEUED}, name
