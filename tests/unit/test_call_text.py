"""What a job calls is told in one short line, without secrets and without code of its arguments."""

import builtins
import datetime
import decimal
import enum
import functools
import json
import pathlib

import numpy
import pytest
from django.utils.functional import SimpleLazyObject

from moi_django.contrib.job_pages import call_text
from moi_django.contrib.job_pages.call_text import describe_calls
from tests.site import work


class Colour(enum.Enum):
    RED = 1


class Loud:
    """A value whose code must not run."""

    def __repr__(self):
        raise AssertionError("its code was run")


class Thing:
    def method(self, size):
        return size


def wake():
    raise AssertionError("it was evaluated")


def simulate(temperature, *paths, replica=1, **more):
    return temperature, paths, replica, more


def sign_in(user, password, options=None):
    return user, password, options


def text(func, *args, **kwargs):
    return describe_calls(func)(args, kwargs)


HERE = __name__


@pytest.mark.parametrize(
    ("args", "kwargs", "shown"),
    [
        ((0.5,), {}, "temperature=0.5"),
        ((0.5,), {"replica": 4}, "temperature=0.5, replica=4"),
        ((None, "a", "b"), {"fast": True}, "temperature=None, 'a', 'b', fast=True"),
        (([1, 2, 3],), {}, "temperature=[1, 2, 3]"),
        (([],), {}, "temperature=[]"),
        ((list(range(9)),), {}, "temperature=[0, 1, 2, 3, 4, …]"),
        (({"a": (1, {"b": [2]})},), {}, "temperature={'a': (1, {…})}"),
        ((Colour.RED,), {}, "temperature=Colour.RED"),
        ((decimal.Decimal("1.5"),), {}, "temperature=Decimal('1.5')"),
        ((datetime.date(2026, 1, 2),), {}, "temperature=datetime.date(2026, 1, 2)"),
        ((pathlib.PurePosixPath("/a"),), {}, "temperature=PurePosixPath('/a')"),
        ((numpy.float64(1.5),), {}, "temperature=1.5"),
        ((numpy.zeros(9),), {}, "temperature=<ndarray>"),
        ((b"bytes",), {}, "temperature=<bytes>"),
        ((len,), {}, "temperature=len"),
        ((Loud(),), {"other": Loud}, "temperature=<Loud>, other=Loud"),
        ((SimpleLazyObject(wake),), {}, "temperature=<SimpleLazyObject>"),
        ((10**1000,), {}, "temperature=<int>"),
        (("x" * 100,), {}, f"temperature={'x' * 59!r}…"),
        (("\ud800\n",), {}, r"temperature='\ud800\n'"),
    ],
)
def test_arguments_are_told_by_their_names(args, kwargs, shown):
    assert text(simulate, *args, **kwargs) == f"{HERE}.simulate({shown})"


def test_what_is_called_like_a_secret_is_not_told(settings):
    hidden = "user='ada', password=********************, options={'API_KEY': ********************}"
    assert text(sign_in, "ada", "sesame", {"API_KEY": "x"}) == f"{HERE}.sign_in({hidden})"
    assert "sesame" not in text(simulate, 1, auth_token="sesame")
    partial = functools.partial(sign_in, password="sesame")
    assert text(partial, "ada") == f"{HERE}.sign_in(user='ada', password=********************)"


def test_where_nobody_knows_what_arguments_are_called_none_is_told():
    assert text(builtins.max, "sesame", "open") == "max(…)"
    assert text(sign_in, "a", "b", "c", "too many") == f"{HERE}.sign_in(…)"


def test_a_site_may_leave_all_arguments_out(settings):
    settings.MOI = {"SHOW_ARGUMENTS": False}
    assert text(simulate, 0.5) == f"{HERE}.simulate(…)"


@pytest.mark.parametrize(
    ("func", "name"),
    [
        (Thing().method, f"{HERE}.Thing.method"),
        (json.dumps, "json.dumps"),
        (work.speak, "tests.site.work.speak"),
        (Thing, f"{HERE}.Thing"),
    ],
)
def test_a_callable_is_told_by_its_path(func, name):
    assert text(func) == f"{name}()"


def test_all_of_it_is_short_however_much_is_given():
    long = text(
        simulate, "x" * 10**6, *["y" * 10**6] * 50, **{f"k{n}": "z" * 99 for n in range(99)}
    )
    assert len(long) <= call_text.MAX_LENGTH and long.endswith("…)")
    nested = value = []
    for _ in range(5_000):
        value.append([])
        value = value[0]
    assert text(simulate, nested) == f"{HERE}.simulate(temperature=[[[…]]])"


def test_the_password_in_an_address_is_left_out():
    for address, shown in {
        "postgres://lab:s3cr3t@db/runs": "postgres://lab:***@db/runs",
        f"redis://:{'x' * 100}@db/0": "redis://:***@db/0",
        "https://db:80/a@b": "https://db:80/a@b",
    }.items():
        assert text(simulate, address) == f"{HERE}.simulate(temperature={shown!r})"
