"""Every result gets a form in JSON."""

import base64
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import json
import pathlib
import uuid

import numpy
import pytest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy
from hypothesis import given
from hypothesis import strategies as st

from moi_django.engine.encoding import MAX_DEPTH, MAX_REPR, ResultTooLarge, encode_result


class Colour(enum.Enum):
    RED = "red"


class Number(enum.IntEnum):
    ONE = 1


@dataclasses.dataclass
class Point:
    x: int
    y: float


class Shy:
    def __repr__(self):
        raise RuntimeError("no")


UTC = datetime.UTC
ID = uuid.UUID(int=7)


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (None, None),
        (True, True),
        ("text", "text"),
        (2**70, 2**70),
        (1.5, 1.5),
        (float("nan"), "NaN"),
        (float("-inf"), "-Infinity"),
        ((1, [2]), [1, [2]]),
        ({1: "a", None: "b", False: "c"}, {"1": "a", "null": "b", "false": "c"}),
        ({2, 1}, [1, 2]),
        (frozenset({"b", "a"}), ["a", "b"]),
        (range(3), [0, 1, 2]),
        ((n for n in "ab"), ["a", "b"]),
        ({"a": 1}.items(), [["a", 1]]),
        (collections.deque([1]), [1]),
        (datetime.datetime(2026, 1, 2, 3, 4, 5, 6, UTC), "2026-01-02T03:04:05.000006+00:00"),
        (datetime.date(2026, 1, 2), "2026-01-02"),
        (datetime.time(3, 4), "03:04:00"),
        (datetime.timedelta(days=1, hours=2, seconds=3.5), "P1DT02H00M03.500000S"),
        (datetime.timedelta(seconds=-1), "-P0DT00H00M01S"),
        (decimal.Decimal("1.10"), "1.10"),
        (fractions.Fraction(1, 3), "1/3"),
        (ID, str(ID)),
        (pathlib.PurePosixPath("/a/b"), "/a/b"),
        (Colour.RED, "red"),
        (Number.ONE, 1),
        (b"\x00\xff", {"encoding": "base64", "bytes": base64.b64encode(b"\x00\xff").decode()}),
        (Point(1, 2.0), {"x": 1, "y": 2.0}),
        (numpy.float32(1.5), 1.5),
        (numpy.arange(4).reshape(2, 2), [[0, 1], [2, 3]]),
        (numpy.array([numpy.nan]), ["NaN"]),
        (1j, {"repr": "1j", "type": "builtins.complex"}),
    ],
    # The same in every process: a repr may have an address, or the members of a set in any order.
    ids=lambda value: type(value).__name__,
)
def test_each_type_has_its_form(value, form):
    encoded = encode_result(value)
    assert encoded == form
    assert type(encoded) is type(form)
    json.dumps(encoded, allow_nan=False)


@pytest.mark.parametrize(
    ("mapping", "form"),
    [
        ({1: "a", "1": "b"}, {"1": "a", "'1'": "b"}),
        ({"1": "b", 1: "a", "'1'": "c"}, {"1": "b", "1 (2)": "a", "'1'": "c"}),
        (
            {None: 1, "null": 2, True: 3, "true": 4},
            {"null": 1, "'null'": 2, "true": 3, "'true'": 4},
        ),
        ({Number.ONE: 1, "1": 2}, {"1": 1, "'1'": 2}),
        ({ID: 1, str(ID): 2}, {str(ID): 1, repr(str(ID)): 2}),
    ],
    ids=repr,
)
def test_keys_that_become_the_same_are_all_kept(mapping, form):
    assert encode_result(mapping) == form


keys = st.text(max_size=2) | st.integers(-9, 9) | st.booleans() | st.none() | st.floats()


@given(st.dictionaries(keys, st.integers()))
def test_a_mapping_loses_nothing(mapping):
    assert sorted(encode_result(mapping).values()) == sorted(mapping.values())


@pytest.mark.parametrize("unit", ["D", "h", "s", "ms", "us", "ns", "ps"])
def test_times_of_numpy_are_texts(unit):
    time = numpy.datetime64("1970-01-02", unit)
    [encoded] = encode_result(numpy.array([time]))
    assert encoded == encode_result(time) and encoded.startswith("1970-01-02")
    length = encode_result(numpy.timedelta64(5, unit))
    assert isinstance(length, str) and "5" in length
    assert encode_result(numpy.array([[numpy.datetime64("NaT", unit)]])) == [["NaT"]]
    assert encode_result(numpy.timedelta64("NaT", unit)) == "NaT"


@pytest.mark.parametrize("unit", ["Y", "M"])
def test_lengths_of_numpy_that_are_no_number_of_days_are_texts(unit):
    assert isinstance(encode_result(numpy.timedelta64(5, unit)), str)
    assert encode_result(numpy.datetime64("2026", unit)).startswith("2026")


def test_a_text_that_is_translated_late_is_a_text():
    late = gettext_lazy("Success")
    assert encode_result({late: [late, SafeString("x")]}) == {"Success": ["Success", "x"]}
    assert type(encode_result(SafeString("x"))) is str


@dataclasses.dataclass
class Unset:
    number: int = 1
    missing: int = dataclasses.field(init=False)


def test_a_field_that_was_never_set_is_left_out():
    assert encode_result(Unset()) == {"number": 1}


def raises(*args):
    raise RuntimeError("no")


class Data(Point):
    x = property(raises)


ODD = [
    type("Mapping", (dict,), {"items": raises})(),
    type("List", (list,), {"__iter__": raises})(),
    type("Set", (set,), {"__iter__": raises})({1}),
    {type("Key", (), {"__str__": raises, "__repr__": raises})(): 1},
    object.__new__(Data),
]


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: type(odd).__name__)
def test_what_cannot_be_taken_apart_is_described(odd):
    described = encode_result(odd)
    assert described.keys() == {"repr", "type"}
    assert encode_result([1, odd, 2]) == [1, described, 2]


def test_what_a_generator_raises_is_an_error_of_the_job():
    with pytest.raises(ZeroDivisionError):
        encode_result(1 / number for number in (1, 0))


def test_what_has_no_form_is_described():
    described = encode_result(Shy())
    assert described["repr"] == "<Shy whose repr raised RuntimeError>"
    assert described["type"].endswith("test_encoding.Shy")
    assert (
        len(encode_result(type("Wordy", (), {"__repr__": lambda self: "x" * 10**6})())["repr"])
        == MAX_REPR
    )


def test_cycles_and_depth_end():
    cycle: list = []
    cycle.append(cycle)
    assert encode_result(cycle) == [{"repr": "[[...]]", "type": "builtins.list"}]
    deep: list = []
    for _ in range(MAX_DEPTH * 2):
        deep = [deep]
    json.dumps(encode_result(deep))


def test_an_integer_too_long_for_decimal_text_is_described():
    assert encode_result(1 << 20_000)["repr"].startswith("0x1000")


def test_too_large_a_result_says_what_to_do():
    with pytest.raises(ResultTooLarge, match="RESULT_LIMIT"):
        encode_result("x" * 100, limit=50)
    with pytest.raises(ResultTooLarge, match="more than 50 items"):
        encode_result(iter(int, 1), limit=50)
    assert encode_result("x" * 48, limit=50) == "x" * 48


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
    | st.decimals() | st.datetimes() | st.timedeltas() | st.uuids() | st.complex_numbers(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner)
    | st.dictionaries(st.text() | st.integers() | st.booleans() | st.none(), inner),
    max_leaves=20,
)  # fmt: skip


@given(anything)
def test_whatever_comes_json_carries_it(value):
    encoded = encode_result(value)
    assert json.loads(json.dumps(encoded, allow_nan=False)) == encoded


def test_a_value_that_is_met_on_many_ways_counts_each_time():
    shared: list = []
    for _ in range(40):
        shared = [shared, shared]
    with pytest.raises(ResultTooLarge, match="more than 1,000 items"):
        encode_result(shared, limit=1000)


def test_half_a_character_is_escaped():
    odd = "file \udcff"
    assert encode_result({odd: [odd, pathlib.PurePosixPath(odd)]}) == {
        "file \\udcff": ["file \\udcff", "file \\udcff"]
    }
