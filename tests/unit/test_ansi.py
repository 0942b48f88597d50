"""Output without what steers a terminal: for files, shells, and pages without scripts."""

import pytest

from moi_django.contrib.command_line.ansi import leaves_colours, note_gaps, strip_control
from moi_django.store.logs import LogEntry, OutputPiece


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["\x1b[31mred\x1b[0m"], "red"),
        (["a\x1b[3", "1mb"], "ab"),
        (["a\x1b", "[31mb"], "ab"),
        (["\x1b]8;;http://x\x1b", "\\link\x1b]8;;\x07."], "link."),
        (["\x1b]0;no end\nshown"], "0;no end\nshown"),
        (["\x1b]" + "x" * 5000, "y"], "x" * 5000 + "y"),
        (["a\x07\b\x9bc\td\r\n"], "ac\td\r\n"),
        (["a\x1b[31\n"], "a31\n"),
        (["\x1b[38:2::1:2:3mX"], "X"),
    ],
)
def test_sequences_are_left_out_also_when_they_are_cut(texts, said):
    assert "".join(strip_control(OutputPiece("stdout", text) for text in texts)) == said


def test_colours_are_kept_if_wanted_and_nothing_else():
    pieces = [
        OutputPiece("stdout", "\x1b[2K\x1b[1;31mred\x1b[0"),
        OutputPiece("stdout", "m\x1b[4:3m\x1b[A\x1b]0;title\x07\x1b"),
    ]
    assert "".join(strip_control(pieces, colours=True)) == "\x1b[1;31mred\x1b[0m\x1b[4:3m"


def test_what_is_cut_in_one_stream_goes_on_in_that_one():
    pieces = [
        OutputPiece("stdout", "a\x1b[3"),
        OutputPiece("stderr", "1m!"),
        OutputPiece("stdout", "1mb"),
    ]
    assert list(strip_control(pieces)) == ["a", "1m!", "b"]


@pytest.mark.parametrize(
    ("text", "on"),
    [
        ("\x1b[31mred", True),
        ("\x1b[31mred\x1b[0m", False),
        ("\x1b[31mred\x1b[m plain", False),
        ("\x1b[0m\x1b[1;32mgreen\n", True),
        ("\x1b[0;31mred", True),
        ("\x1b[38;5;0mblack", True),
    ],
)
def test_colours_are_on_until_they_are_reset(text, on):
    assert leaves_colours(text, not on) is on
    assert leaves_colours(text + "more", not on) is on
    assert leaves_colours("plain", on) is on


def test_what_was_begun_before_a_gap_ends_there():
    entries = [
        LogEntry("1", 0, OutputPiece("stdout", "a\x1b[")),
        LogEntry("2", 10, OutputPiece("stdout", "hello")),
    ]
    assert "".join(strip_control(note_gaps(entries))) == "a\n[… 7 bytes left out]\nhello"


def test_what_was_dropped_is_noted():
    entries = [LogEntry(str(at), at, OutputPiece("stdout", "é" * 5)) for at in (7, 17, 30)]
    texts = [piece.text for piece in note_gaps(entries)]
    assert texts == [
        *("[… 7 bytes left out]\n", "é" * 5, "é" * 5, "\n[… 3 bytes left out]\n", "é" * 5)
    ]
