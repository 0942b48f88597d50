"""The numbers of the operator's panel."""

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from django.template.loader import render_to_string
from django.utils import translation

from moi_django.contrib.monitoring.statistics import Completed
from moi_django.contrib.panel import plots
from moi_django.contrib.panel.plots import HEIGHT, LEFT, RIGHT, SLOTS, WIDTH
from moi_django.presentation.formatting import (
    format_duration,
    format_localized,
    format_percent,
    format_size,
)

NOW = 1_767_366_245.0
MINUTE = int(NOW // 60)


def history(hours=1, **ended):
    """Return the history of what ended so many minutes ago."""
    minutes = range(MINUTE - plots.minutes_to_read(hours, NOW) + 1, MINUTE + 1)
    said = {MINUTE - int(ago.strip("m")): each for ago, each in ended.items()}
    return plots.build_history(
        hours, [(minute, said.get(minute, Completed())) for minute in minutes]
    )


def svg(plot):
    return ElementTree.fromstring(
        render_to_string("moi_django/admin/_plot.html", {"plot": plot, "label": "A <plot>"})
    )


@pytest.mark.parametrize("hours", [1, 6, 24])
def test_slots_begin_at_whole_multiples_of_their_length_and_end_now(hours):
    found = history(hours)
    assert len(found.slots) == SLOTS
    assert {slot.at % (hours * 60) for slot in found.slots} == {0}
    assert found.slots[-1].at <= NOW < found.slots[-1].at + hours * 60
    assert found.filled == []


@pytest.mark.parametrize(("hours", "apart"), [(1, 15), (6, 120), (24, 360)])
def test_times_stand_at_whole_quarters_or_hours(hours, apart):
    for plot in (history(hours).throughput, history(hours).durations):
        times = [mark.time for mark in plot.marks if mark.time]
        assert 3 <= len(times) <= 6
        assert {int(time.timestamp()) % (apart * 60) for time in times} == {0}
        assert {(b - a).seconds for a, b in pairwise(times)} == {apart * 60}


def test_bars_are_as_high_as_their_numbers():
    found = history(
        m0=Completed({"success": 6, "failed": 1, "lost": 1, "cancelled": 2}, 30.0, 20.0),
        m1=Completed({"success": 5}),
    )
    bars = found.throughput.bars
    whole = float(found.throughput.grid[0]) - float(found.throughput.grid[-1])
    assert [(bar.part, round(float(bar.height) / whole * 10, 1)) for bar in bars] == [
        ("success", 5),
        ("success", 6),
        ("failed", 2),
        ("cancelled", 2),
    ]
    # Each stands on the one before, the lowest on the axis.
    for below, above in pairwise(bars[1:]):
        assert float(above.y) + float(above.height) == pytest.approx(float(below.y), abs=0.2)
    assert float(bars[1].y) + float(bars[1].height) == pytest.approx(
        float(found.throughput.grid[0]), abs=0.2
    )
    assert found.total.total == 15
    assert [slot.counts for slot in found.filled] == [[6, 2, 2], [5, 0, 0]]
    latest = found.filled[0].ended
    assert (latest.mean_ran, latest.mean_waited) == (3.0, 2.0)


def test_what_lies_within_a_slot_is_added_up():
    found = history(24, m0=Completed({"success": 1}, 4.0), m1=Completed({"failed": 1}, 2.0))
    assert sum(slot.ended.total for slot in found.filled) == 2
    assert found.total.ran == 6.0


def test_a_curve_has_gaps_where_nothing_ended():
    one = Completed({"success": 2}, 40.0, 10.0)
    found = history(m1=one, m2=one, m4=one)
    ran, waited = found.durations.lines
    assert re.sub(r"[\d. ]+", "", ran.path) == "MML"
    assert len(ran.points) == len(waited.points) == 3
    top, bottom = float(found.durations.grid[-1]), float(found.durations.grid[0])
    assert {y for _, y in ran.points} == {found.durations.grid[-1]}
    share = (bottom - float(waited.points[0][1])) / (bottom - top)
    assert share == pytest.approx(5 / 20, abs=0.01)


def test_the_shapes_lie_within_their_picture():
    full = {f"m{ago}": Completed({"success": ago + 1}, 100.0 * ago, 3.0) for ago in range(60)}
    found = history(**full)
    for plot in (found.throughput, found.durations):
        assert plot.view == f"0 0 {WIDTH} {HEIGHT}"
        for bar in plot.bars:
            assert LEFT <= float(bar.x) <= WIDTH - RIGHT - float(bar.width)
        for line in plot.lines:
            for x, y in line.points:
                assert LEFT <= float(x) <= WIDTH - RIGHT
                assert 0 <= float(y) <= HEIGHT


def test_a_plot_is_an_image_with_a_text_in_every_language():
    with translation.override("de"):
        drawn = svg(history(m0=Completed({"success": 3}, 4.5, 1.0)).throughput)
    assert drawn.attrib["aria-label"] == "A <plot>"
    assert drawn.attrib["role"] == "img"
    names = {"x", "y", "width", "height", "x1", "x2", "y1", "y2", "cx", "cy", "r", "d", "viewBox"}
    numbers = [
        value for part in drawn.iter() for name, value in part.attrib.items() if name in names
    ]
    assert len(numbers) > 20
    assert not [number for number in numbers if "," in number]
    assert [part for part in drawn.iter() if "style" in part.attrib] == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "—"),
        (-3, "0.0 s"),
        (0, "0.0 s"),
        (9.94, "9.9 s"),
        (10, "10 s"),
        (59.7, "1 min"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (3725, "1 h 2 min"),
        (90_061, "1 d 1 h"),
        (86_460, "1 d"),
    ],
)
def test_durations(seconds, text):
    assert format_duration(seconds) == text


def test_measures_in_a_language():
    with translation.override("de"):
        found = [
            format_duration(9.96, format_localized),
            format_size(5.64e15, format_localized),
            format_percent(1.6, format_localized),
        ]
        assert found == ["10,0 s", "5640,0 TB", "2 %"]
        axis = history(m0=Completed({"success": 1}, 1.0, 1.0)).durations.marks
        assert [mark.text for mark in axis if mark.text] == ["0,0 s", "1,0 s", "2,0 s"]


def test_sizes_and_shares():
    assert [format_size(count) for count in (None, 0, 999, 82e6, 3.4e9, 5e15)] == [
        *("—", "0 B", "999 B", "82 MB", "3 GB", "5,000.0 TB")
    ]
    assert [format_percent(share) for share in (None, 0.2, 399.6)] == ["—", "0 %", "400 %"]
