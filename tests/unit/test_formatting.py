"""How long a job has run and how long it will, as the server says it."""

from datetime import UTC, datetime, timedelta

import pytest

from moi_django.models import JOB, Info, State, timestamp
from moi_django.presentation import formatting, progress_text


def running(seconds, **fields):
    begun = (datetime.now(UTC) - timedelta(seconds=seconds)).strftime("%Y-%m-%d %H:%M:%S.%f")
    given = {"state": State.RUNNING, "date_start": begun, **fields}
    return Info(id="x", name="x", type=JOB, pubsub="x", **given)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0:00"),
        (59.9, "0:59"),
        (60, "1:00"),
        (3599, "59:59"),
        (3600, "1:00:00"),
        (200_000, "55:33:20"),
    ],
)
def test_a_clock_shows_whole_seconds(seconds, shown):
    assert formatting.format_clock(seconds) == shown


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.1, ("seconds", 5)),
        (41, ("seconds", 45)),
        (60, ("minutes", 1)),
        (90, ("minutes", 2)),
        (3600, ("hours", 1)),
        (48 * 3600 - 1, ("hours", 48)),
        (48 * 3600, ("days", 2)),
        (60 * 86400, ("days", 60)),
    ],
)
def test_a_time_that_is_left_is_rough(seconds, said):
    assert formatting.round_duration(seconds) == said


def test_what_is_left_follows_from_what_is_done():
    assert progress_text.remaining(running(600, progress=0.25)) == ("minutes", 30)
    assert progress_text.remaining(running(600)) is None
    fresh = running(0, progress=0.25)
    assert fresh.remaining_seconds(timestamp(fresh.date_start) + 0.5) is None
    for share in (0.0, 1.0):
        assert progress_text.remaining(running(600, progress=share)) is None
    assert progress_text.remaining(running(600, progress=0.5, state=State.FAILED)) is None


def test_the_run_time_ends_with_the_job_and_is_never_negative():
    ended = running(
        0, date_start="2026-01-02 10:00:00.000000", date_end="2026-01-02 10:01:30.500000"
    )
    assert ended.ran_seconds() == 90.5
    assert running(-100).ran_seconds() == 0
    assert running(0, date_start=None).ran_seconds() is None
    assert running(0, date_start="yesterday").ran_seconds() is None
