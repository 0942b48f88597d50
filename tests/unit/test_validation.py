"""What may be a name, whatever script it is written in."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from moi_django.validation import unfit_character
from tests.helpers.names import ODD_NAMES


@pytest.mark.parametrize("name", ODD_NAMES)
def test_names_of_all_scripts_are_fit(name):
    assert unfit_character(name) is None


letters = st.characters(categories=["L", "M", "N", "P", "S", "Zs"])


@given(st.text(letters))
def test_whatever_people_can_read_is_fit(text):
    assert unfit_character(text) is None


@pytest.mark.parametrize(
    ("character", "said"),
    [
        ("\n", "U+000A, a control character"),
        ("\x00", "U+0000, a control character"),
        ("\x85", "U+0085, a control character"),
        ("\u2028", "U+2028, LINE SEPARATOR"),
        ("\u2029", "U+2029, PARAGRAPH SEPARATOR"),
        ("\u202e", "U+202E, RIGHT-TO-LEFT OVERRIDE"),
        ("\u2066", "U+2066, LEFT-TO-RIGHT ISOLATE"),
        ("\udcff", "U+DCFF, a control character"),
    ],
)
def test_what_steers_is_named(character, said):
    assert unfit_character(f"ab{character}c{character}") == f"character 3 is {said}"
