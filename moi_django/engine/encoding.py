"""Turn what a job returns into values that JSON can carry.

=====================================  ==============================================
Python                                 JSON
=====================================  ==============================================
None, bool, int, str, list             themselves
dict, other mappings                   keys become strings; where two become the same, the latter
                                       is written as its `repr`: {"1": ..., "'1'": ...}
tuple, deque, generator, range, view   list
float                                  number; "NaN", "Infinity", "-Infinity"
set, frozenset                         list, sorted where its members can be
datetime, date, time                   ISO 8601 string
timedelta                              ISO 8601 duration, "P0DT00H00M01S"
Decimal, UUID, path, Fraction          their string
a text that Django translates late     the text
Enum                                   its value
bytes, bytearray, memoryview           {"encoding": "base64", "bytes": "..."}
dataclass                              dict of its fields that are set
numpy scalar, numpy array              number, (nested) list of numbers
numpy datetime64, timedelta64          as datetime, timedelta; beyond these their string; "NaT"
complex and anything else              {"repr": "...", "type": "module.Class"}
=====================================  ==============================================

A leaf that has no form in JSON says so with its `repr` and its type: a job that computed something
does not fail because its result cannot be shown in full.
"""

import base64
import dataclasses
import datetime
import json
import math
import pathlib
import sys
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import Any

from moi_django.validation import escape_surrogates

# A job may have replaced `json.dumps`.
to_json = json.JSONEncoder(allow_nan=False).encode
MAX_DEPTH = 64
MAX_REPR = 10_000


class ResultTooLarge(ValueError):
    """Say that a result is longer as JSON than the site allows."""


def encode_result(value: object, limit: int | None = None) -> Any:
    """Return a value of JSON for any result.

    `limit` is the maximum length in bytes of its JSON text; ResultTooLarge is raised beyond it.
    """
    encoded = _Encoder(limit).encode_value(value)
    size = len(to_json(encoded))
    if limit is not None and size > limit:
        raise ResultTooLarge(
            f"the result is {size:,} bytes long as JSON, more than the {limit:,} allowed: store it "
            'elsewhere and return where it is, or raise MOI["RESULT_LIMIT"]'
        )
    return encoded


class _Encoder:
    """One walk over a result; knows where it is, so that a cycle or an endless result ends."""

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._above: set[int] = set()
        self._item_count = 0

    def encode_value(self, value: Any) -> Any:
        """Return the form that a value has in JSON."""
        self._item_count += 1
        # Each takes a byte at least, also one that is met on many ways.
        if self._limit is not None and self._item_count > self._limit + 1:
            raise ResultTooLarge(
                f"the result has more than {self._limit:,} items: store it elsewhere and return "
                "where it is"
            )
        if value is None or (isinstance(value, (bool, str, int)) and not isinstance(value, Enum)):
            return _plain_value(value)
        if isinstance(value, float):
            return _float(value)
        for kinds, form in _LEAVES:
            if isinstance(value, kinds):
                return form(value)
        return self._encode_nested(value)

    def _encode_nested(self, value: Any) -> Any:
        """Encode something that may hold other values, or fall back to its repr."""
        if id(value) in self._above or len(self._above) >= MAX_DEPTH:
            return describe(value)
        self._above.add(id(value))
        try:
            return self._encode_container(value)
        except (ResultTooLarge, MemoryError):
            raise
        except Exception:
            if isinstance(value, Iterator):
                raise  # its items are what the job computes
            return describe(value)
        finally:
            self._above.discard(id(value))

    def _encode_container(self, value: Any) -> Any:
        if isinstance(value, Enum):
            return self.encode_value(value.value)
        if isinstance(value, Mapping):
            return self._encode_mapping(value)
        if isinstance(value, (set, frozenset)):
            return self._encode_list(_sorted_if_possible(value))
        if isinstance(value, _SEQUENCES):
            return self._encode_list(value)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            names = [each.name for each in dataclasses.fields(value)]
            return {
                name: self.encode_value(getattr(value, name))
                for name in names
                if hasattr(value, name)
            }
        if _is_numpy(value):
            return self._encode_numpy(value)
        return self.encode_value(str(value)) if _is_lazy_text(value) else describe(value)

    def _encode_mapping(self, values: Mapping[Any, Any]) -> dict[str, Any]:
        encoded: dict[str, Any] = {}
        for key, item in values.items():
            text, number = _key_text(key), 1
            while text in encoded:
                text = _key_text(repr(key)) if number == 1 else f"{key!r} ({number})"
                number += 1
            encoded[text] = self.encode_value(item)
        return encoded

    def _encode_numpy(self, value: Any) -> Any:
        if value.dtype.kind in "mM":
            if value.ndim:
                return self._encode_list(value)
            plain = value.item()
            # It has a number instead where Python's own cannot hold it.
            return self.encode_value(str(value) if isinstance(plain, int | None) else plain)
        return self.encode_value(value.tolist())

    def _encode_list(self, values: Iterable[Any]) -> list[Any]:
        """Encode each value; a generator that passes the limit is not run to its end."""
        return [self.encode_value(value) for value in values]


_SEQUENCES: tuple[Any, ...] = (
    list,
    tuple,
    deque,
    range,
    Iterator,
    type({}.keys()),
    type({}.values()),
    type({}.items()),
)


def describe(value: object) -> dict[str, str]:
    """Return the `repr` and the type of a value that has no form in JSON."""
    kind = int if isinstance(value, _Hex) else type(value)
    try:
        text = repr(value)
    except Exception as error:
        text = f"<{kind.__qualname__} whose repr raised {type(error).__name__}>"
    return {
        "repr": escape_surrogates(text[:MAX_REPR]),
        "type": f"{kind.__module__}.{kind.__qualname__}",
    }


def _plain_value(value: Any) -> Any:
    """Strip subclasses of str and int: their own JSON form is unknown."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return escape_surrogates(str.__str__(value))
    # Python refuses to write an integer of more than 4300 digits as decimal text.
    return int(value) if value.bit_length() < 14_000 else describe(_Hex(int(value)))


class _Hex(int):
    """An integer whose repr costs no quadratic time."""

    def __repr__(self) -> str:
        return hex(self)


def _float(value: float) -> float | str:
    value = float(value)
    if math.isfinite(value):
        return value
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _duration(value: datetime.timedelta) -> str:
    sign = "-" if value < datetime.timedelta(0) else ""
    value = abs(value)
    hours, rest = divmod(value.seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    fraction = f".{value.microseconds:06d}" if value.microseconds else ""
    return f"{sign}P{value.days}DT{hours:02d}H{minutes:02d}M{seconds:02d}{fraction}S"


def _base64(value: bytes | bytearray | memoryview) -> dict[str, str]:
    return {"encoding": "base64", "bytes": base64.b64encode(bytes(value)).decode("ascii")}


_LEAVES: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    ((datetime.datetime, datetime.date, datetime.time), lambda value: value.isoformat()),
    (datetime.timedelta, _duration),
    ((Decimal, Fraction, uuid.UUID, pathlib.PurePath), lambda value: escape_surrogates(str(value))),
    ((bytes, bytearray, memoryview), _base64),
)


def _key_text(key: object) -> str:
    """Return a dict's key as a string, as `json` would write it."""
    if isinstance(key, Enum):
        key = key.value
    if key is None or isinstance(key, bool):
        return to_json(key)
    return escape_surrogates(str(key))


def _sorted_if_possible(values: Iterable[Any]) -> list[Any]:
    values = list(values)
    try:
        return sorted(values)
    except TypeError:
        return sorted(values, key=repr)


def _is_lazy_text(value: object) -> bool:
    """Tell a text of Django's that is looked up when it is shown, without importing Django."""
    functional = sys.modules.get("django.utils.functional")
    return functional is not None and isinstance(value, functional.Promise)


def _is_numpy(value: object) -> bool:
    """Tell a numpy scalar or array without importing numpy."""
    return type(value).__module__.partition(".")[0] == "numpy" and hasattr(value, "tolist")
