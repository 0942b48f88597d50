"""Output as a terminal shows it: pyte, a terminal in Python, is the reference."""

import hypothesis
import pytest
from hypothesis import strategies as st

from moi_django.contrib.job_pages.terminal_screen import COLUMNS, MAX_LINES, ROWS, render_output
from moi_django.store.logs import OutputPiece
from tests.helpers.reference_terminal import HEAVY, OUTPUTS, RECORDINGS, rows_of, rows_shown

E = "\x1b["


def shown(*texts):
    return render_output(OutputPiece("stdout", text) for text in texts)[0]


@pytest.mark.parametrize("name", RECORDINGS)
def test_what_tools_print_looks_as_in_a_terminal(name):
    assert rows_of(shown(RECORDINGS[name])) == rows_shown(RECORDINGS[name])


@hypothesis.given(OUTPUTS)
@hypothesis.settings(max_examples=1000)
@hypothesis.example(f"a long line\n{E}1A{E}0Jb")
def test_all_that_moves_or_erases_does_what_it_does_in_a_terminal(text):
    assert rows_of(shown(text)) == rows_shown(text)


@hypothesis.given(OUTPUTS, st.data())
def test_it_does_not_matter_where_output_is_cut(text, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=5)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert shown(*pieces) == shown(text)


@pytest.mark.parametrize(
    ("text", "looks"),
    [
        ("10%\r20%\r30%\n", "30%\n"),
        ("10%\r", "10%"),
        ("abcdef\rxyz", "xyzdef"),
        ("one\r\ntwo", "one\ntwo"),
        ("a\tb", "a       b"),
        (f"long\nlonger\n{E}2A{E}Jx", "x"),  # without the lines that were erased
        (f"a{E}999999999Cb", "a" + " " * (COLUMNS - 2) + "b"),
        (f"a{E}{'9' * 5000}Ab", "ab"),
        ("\x1b", ""),
        (f"{E}?25lhidden{E}>4;2m{E}2 q{E}1;2;3z\x07\x00\x9b", "hidden"),
    ],
)
def test_output_looks_as_it_does_in_the_end(text, looks):
    assert shown(text) == looks


@pytest.mark.parametrize(
    ("text", "looks"),
    [
        ("x" * 2500, "x" * 2500),
        ("x" * COLUMNS + "\nend", "x" * COLUMNS + "\nend"),
        ("x" * COLUMNS + "y\rz\nend", "x" * COLUMNS + "z\nend"),
        ("x" * 2 * COLUMNS + f"\ny{E}2A!", "x" + "!" + "x" * (2 * COLUMNS - 2) + "\ny"),
        ("x" * COLUMNS + f"{E}2Ky", "\ny"),
        ("x" * COLUMNS + f"y{E}A{E}J", "x"),
        ("x" * COLUMNS + f"y{E}A{E}{COLUMNS}G{E}Pz", "x" * (COLUMNS - 1) + "z\ny"),
    ],
)
def test_a_line_that_is_too_long_goes_on_in_the_next_row_without_an_end(text, looks):
    assert shown(text) == looks


@pytest.mark.parametrize("count", [MAX_LINES - 1, MAX_LINES, 3 * MAX_LINES])
def test_the_last_lines_are_kept(count):
    lines = [str(number) for number in range(count)]
    text, is_cut = render_output([OutputPiece("stdout", "\n".join(lines))])
    assert text == "\n".join(lines[-MAX_LINES:])
    assert is_cut == (count > MAX_LINES)


def test_the_cursor_moves_within_the_last_lines_alone():
    lines = [f"line {number}" for number in range(100)]
    looks = [*lines]
    looks[100 - ROWS] = "x" + lines[100 - ROWS][1:]
    assert shown("\n".join(lines) + f"{E}9999A{E}9999Dx") == "\n".join(looks)


@pytest.mark.parametrize("repeated", HEAVY)
def test_no_output_takes_more_than_its_share(repeated):
    """Were it quadratic, this would take hours."""
    text, _ = render_output([OutputPiece("stdout", repeated * (400_000 // len(repeated)))])
    assert len(text) <= MAX_LINES * (COLUMNS + 1)
