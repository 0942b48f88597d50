"""When cron lines tick, by the clocks of their zones."""

from datetime import UTC, datetime
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from moi_django.contrib.schedules.cron_line import CronLine
from moi_django.exceptions import InvalidJob

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"
# Its clocks are changed by half an hour.
LORD_HOWE = "Australia/Lord_Howe"
# Its clocks are changed at midnight: on one day there is none.
SANTIAGO = "America/Santiago"
ZONES = [BERLIN, NEW_YORK, LORD_HOWE, SANTIAGO, "Asia/Kathmandu", "UTC"]
YEAR = 366 * 86_400.0


def at(text, zone="UTC", fold=0):
    """Return the time that the clocks of a zone show so, in seconds since 1970."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


def ticks(text, zone, since, count):
    """Return the next ticks as UTC has them."""
    found = islice(CronLine(text, zone).ticks(at(since, zone)), count)
    return [datetime.fromtimestamp(each, UTC).strftime("%m-%d %H:%M") for each in found]


@pytest.mark.parametrize(
    ("text", "zone", "since", "expected"),
    [
        # What is to run at a certain hour runs after the gap, on that day.
        ("30 2 * * *", BERLIN, "2026-03-28 00:00", ["03-28 01:30", "03-29 01:00", "03-30 00:30"]),
        ("30 2 * * *", NEW_YORK, "2026-03-07 00:00", ["03-07 07:30", "03-08 07:00", "03-09 06:30"]),
        (
            "15 2 * * *",
            LORD_HOWE,
            "2026-10-03 00:00",
            ["10-02 15:45", "10-03 15:30", "10-04 15:15"],
        ),
        ("0 0 * * *", SANTIAGO, "2026-09-05 12:00", ["09-06 04:00", "09-07 03:00"]),
        # Two in the gap are one.
        ("0,30 2 * * *", BERLIN, "2026-03-28 12:00", ["03-29 01:00", "03-30 00:00", "03-30 00:30"]),
        ("0 2,3 * * *", BERLIN, "2026-03-28 12:00", ["03-29 01:00", "03-30 00:00", "03-30 01:00"]),
        # It runs once in the hour that comes twice, the first time.
        ("30 2 * * *", BERLIN, "2026-10-24 12:00", ["10-25 00:30", "10-26 01:30"]),
        ("30 1 * * *", NEW_YORK, "2026-10-31 12:00", ["11-01 05:30", "11-02 06:30"]),
        ("45 1 * * *", LORD_HOWE, "2026-04-04 12:00", ["04-04 14:45", "04-05 15:15"]),
        ("30 23 * * *", SANTIAGO, "2026-04-04 12:00", ["04-05 02:30", "04-06 03:30"]),
        # What runs every hour follows the clocks: each hour that there is, each once.
        ("0 * * * *", BERLIN, "2026-03-29 00:30", ["03-29 00:00", "03-29 01:00", "03-29 02:00"]),
        ("0 * * * *", BERLIN, "2026-10-25 01:30", ["10-25 00:00", "10-25 01:00", "10-25 02:00"]),
        (
            "*/30 * * * *",
            NEW_YORK,
            "2026-11-01 01:10",
            ["11-01 05:30", "11-01 06:00", "11-01 06:30"],
        ),
        # A zone without changes, and the day of the week there.
        ("0 3 * * MON", "Asia/Kathmandu", "2026-01-01 00:00", ["01-04 21:15", "01-11 21:15"]),
        ("0 0 L * *", "UTC", "2026-01-31 12:00", ["02-28 00:00", "03-31 00:00"]),
    ],
)
def test_it_ticks_by_the_clocks_of_its_zone(text, zone, since, expected):
    assert ticks(text, zone, since, len(expected)) == expected


def test_seconds_may_stand_first():
    line = CronLine("*/20 * * * * *", "UTC")
    start = at("2026-01-01 00:00")
    assert [*islice(line.ticks(start), 3)] == [start + 20, start + 40, start + 60]


def test_in_the_hour_that_comes_twice_nothing_that_has_passed_comes_next():
    line = CronLine("30 2 * * *", BERLIN)
    second = at("2026-10-25 02:10", BERLIN, fold=1)
    assert line.next(second) == at("2026-10-26 02:30", BERLIN)
    first = at("2026-10-25 02:30", BERLIN)
    assert first < second
    assert line.latest(at("2026-10-24 12:00", BERLIN), second) == first


def test_a_line_that_never_comes_has_no_next_time():
    never = CronLine("* * */20 * 1L", "UTC")
    assert never.next(0.0) is None and never.latest(0.0, 1e9) is None


@pytest.mark.parametrize(
    ("text", "zone", "words"),
    [
        ("0 3 * *", "UTC", "is no cron line"),
        ("61 * * * *", "UTC", "Bad minute"),
        ("", "UTC", "is no cron line"),
        (None, "UTC", "is no cron line"),
        ("0 3 * * *", "Europe/Nowhere", "is no time zone"),
        ("0 3 * * *", "../etc/passwd", "is no time zone"),
        ("0 3 * * *", "Europe", "is no time zone"),
        ("0 3 * * *", 7, "is no time zone"),
    ],
)
def test_what_is_no_line_or_zone_is_refused(text, zone, words):
    with pytest.raises(InvalidJob, match=words):
        CronLine(text, zone)


LINES = st.tuples(
    st.sampled_from(["0", "30", "*/7", "5,50", "*"]),
    st.sampled_from(["2", "*/2", "1-3", "0,23", "*"]),
    st.sampled_from(["*", "1", "L", "29-31"]),
    st.sampled_from(["*", "3,10", "4,9"]),
    st.sampled_from(["*", "SUN", "0-3"]),
).map(" ".join)
TIMES = st.floats(at("2026-01-01"), at("2026-12-31"))


@given(LINES, st.sampled_from(ZONES), TIMES)
def test_ticks_come_later_and_later(text, zone, start):
    found = [start, *islice(CronLine(text, zone).ticks(start), 20)]
    assert found == sorted(set(found))
    assert all(each % 1 == 0 for each in found[1:])


@given(LINES, st.sampled_from(ZONES), TIMES, st.floats(0, 4 * 86_400))
@example("30 2 * * *", BERLIN, at("2026-10-25 02:10", BERLIN, fold=1), 3600.0)
@example("30 2 * * *", BERLIN, at("2026-03-29 00:00", BERLIN), 2 * 3600.0)
def test_the_latest_is_the_last_of_all(text, zone, start, seconds):
    line, end = CronLine(text, zone), start + seconds
    every = [*takewhile(lambda each: each <= end, line.ticks(start))]
    assert line.latest(start, end) == (every[-1] if every else None)


def test_years_of_minutes_are_looked_through_at_once():
    line, end = CronLine("* * * * *", BERLIN), at("2026-06-01 12:00:30")
    assert line.latest(end - 30 * YEAR, end) == end - 30
    yearly = CronLine("0 0 1 1 *", "UTC")
    assert yearly.latest(end - 30 * YEAR, end) == at("2026-01-01 00:00")
