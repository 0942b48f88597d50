"""Lines are found in what a job has printed, with the places of the text in them."""

from moi_django.contrib.job_pages.output_search import MAX_LENGTH, MAX_LINES, find_lines


def test_lines_are_found_in_whatever_case_with_their_numbers():
    found = find_lines(["one\ntwo Er", "ror\nthree\n", "error error"], " ERROR ")
    assert [(line.number, line.parts) for line in found.lines] == [
        (2, ["two ", "Error", ""]),
        (4, ["", "error", " ", "error", ""]),
    ]
    assert (found.text, found.count) == ("ERROR", 2)


def test_what_is_looked_for_is_text_and_no_pattern():
    assert find_lines(["a.b\naxb\n"], "a.b").count == 1
    assert find_lines(["(((\n"], "((").lines[0].parts == ["", "((", "("]


def test_what_is_shown_is_bounded():
    found = find_lines(["hit\n" * 10_000], "hit")
    assert (len(found.lines), found.count) == (MAX_LINES, 10_000)
    [line] = find_lines([f"{'x' * 9_000}hit{'y' * 9_000}"], "hit").lines
    assert len("".join(line.parts)) == MAX_LENGTH and "hit" in line.parts
