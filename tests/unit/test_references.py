"""Results of other jobs are found in arguments, however these nest, and put in their places."""

import hypothesis.strategies as st
from hypothesis import given

from moi_django.engine.references import ResultOf, find_in, replaced, with_results

ids = st.sampled_from(["a", "b", "c"])
leaves = st.integers() | st.none() | st.text() | ids.map(ResultOf)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
)
RESULTS = {"a": 1, "b": [2], "c": None}


@given(st.lists(values))
def test_each_is_found_and_replaced(value):
    found = find_in(value, ResultOf)
    assert {each.id for each in found} == {
        id for id in RESULTS if f"ResultOf(id='{id}')" in repr(value)
    }
    filled = with_results(value, RESULTS)
    assert find_in(filled, ResultOf) == []
    if not found:
        assert filled == value
    numbered = replaced(value, ResultOf, lambda each: f"<{each.id}>")
    assert repr(numbered).count("'<") >= len({each.id for each in found})


def test_what_holds_itself_or_nests_deep_is_looked_into():
    circle = [ResultOf("a")]
    circle.append(circle)
    deep = [ResultOf("b")]
    for _ in range(10_000):
        deep = [deep]
    assert find_in([circle, {"deep": deep}, ResultOf("c")], ResultOf) == [
        ResultOf("c"),
        ResultOf("b"),
        ResultOf("a"),
    ]
