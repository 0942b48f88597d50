"""Whatever a client sends is read or refused with a reason."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moi_django.protocol.frames import ProtocolError, TokenBucket, parse_frame

VERBS = ("get", "remove")
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(VERBS) | st.text(), inner),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ('{"get": []}', ("get", [])),
        ('{"get": null}', ("get", [])),
        ('{"remove": "a"}', ("remove", ["a"])),
        ('{"remove": ["a", "b", "a"]}', ("remove", ["a", "b"])),
        ('{"get": {"a": 5}}', ("get", ["a"])),
    ],
)
def test_a_verb_comes_with_an_id_or_ids(text, read):
    verb, ids = parse_frame(text, VERBS)
    assert (verb, list(ids)) == read


@given(st.text() | json_values.map(json.dumps))
def test_any_text_is_read_or_refused_with_a_reason(text):
    try:
        verb, ids = parse_frame(text, VERBS)
    except ProtocolError as mistake:
        assert str(mistake).endswith(".")
    else:
        assert verb in VERBS
        assert all(isinstance(id, str) and id for id in ids)


@pytest.mark.parametrize(
    ("text", "verb"),
    [
        ('{"remove": 1}', "remove"),
        ('{"get": [1]}', "get"),
        ('{"get": {"a": 0}}', "get"),
        ('{"reboot": []}', None),
        ('{"get": [], "remove": []}', None),
        ("{", None),
    ],
)
def test_a_mistake_names_the_verb_that_was_read(text, verb):
    with pytest.raises(ProtocolError) as mistake:
        parse_frame(text, VERBS)
    assert mistake.value.verb == verb


@pytest.mark.parametrize("text", [None, "[" * 100_000, '{"get": ' + "[" * 100_000])
def test_text_that_costs_more_than_it_says_is_refused(text):
    with pytest.raises(ProtocolError):
        parse_frame(text, VERBS)


def test_so_many_at_once_and_no_more():
    allowance = TokenBucket(rate=0, burst=3)
    assert [allowance.spend() for _ in range(5)] == [True, True, True, False, False]
