"""A job's function is given the keyword arguments that it asks for, and no others."""

import functools
import json
import logging
import subprocess
import sys

import pytest
from django.core.management import call_command

from moi_django.engine.current import CurrentJob
from moi_django.engine.invocation import call_as_job, injectable_kwargs

OFFERED = {
    name: name
    for name in (
        *("status_update", "moi_update_status", "moi_context", "moi_parent_id"),
        *("moi_progress", "moi_track", "moi_attach", "moi_checkpoint", "moi_resume"),
    )
}
JOB = CurrentJob("id", "name", 1, "lab", "group", str, print, print)


def by_item(**kwargs):
    return kwargs["status_update"]


def by_get(**kwargs):
    return kwargs.get("moi_context")


def by_prefix(**kwargs):
    return [kwargs["moi_" + name] for name in ("context", "track")]


def in_a_function_of_its_own(**kwargs):
    def work():
        return [kwargs["moi_progress"] for _ in range(1)]

    return work()


def passes_on(*args, **kwargs):
    return args, kwargs


def logged(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


def strict(function):
    @functools.wraps(function)
    def wrapper():
        return function("given")

    return wrapper


@logged
def decorated(status_update):
    return status_update


@logged
@logged
def decorated_twice(**kwargs):
    return kwargs["moi_attach"]


@strict
def decorated_by_one_that_takes_nothing(status_update):
    return status_update


@functools.singledispatch
def dispatched(value, status_update=None):
    return status_update


class Instance:
    def __call__(self, moi_context):
        return moi_context

    def method(self, *, moi_track, **kwargs):
        return moi_track


class Built:
    def __init__(self, moi_parent_id):
        self.parent = moi_parent_id


async def coroutine(status_update):
    return status_update


@pytest.mark.parametrize(
    ("function", "args", "wanted"),
    [
        (lambda status_update: 0, (), {"status_update"}),
        (lambda *, moi_track=None: 0, (), {"moi_track"}),
        (lambda moi_track: 0, (5,), set()),
        (lambda status_update, /: 0, (), set()),
        (lambda: 0, (), set()),
        (by_item, (), {"status_update"}),
        (by_get, (), {"moi_context"}),
        (by_prefix, (), OFFERED.keys() - {"status_update"}),
        (in_a_function_of_its_own, (), {"moi_progress"}),
        (passes_on, (), set()),
        (logged(passes_on), (), set()),
        (decorated, (), {"status_update"}),
        (decorated_twice, (), {"moi_attach"}),
        (decorated_by_one_that_takes_nothing, (), set()),
        (dispatched, (1,), {"status_update"}),
        (Instance(), (), {"moi_context"}),
        (Instance().method, (), {"moi_track"}),
        (Built, (), {"moi_parent_id"}),
        (coroutine, (), {"status_update"}),
        (functools.partial(by_item), (), {"status_update"}),
        (functools.partial(by_item, status_update=1), (), set()),
        (functools.partial(passes_on, 1), (), set()),
        (functools.partial(functools.partial(decorated)), (), {"status_update"}),
        (json.dumps, ({},), set()),
        (subprocess.run, (["true"],), set()),
        (call_command, ("check",), set()),
        (logging.getLogger().info, ("x",), set()),
        (print, ("x",), set()),
        (dict, (), set()),
        (max, (1, 2), set()),
    ],
)
def test_a_function_is_given_what_it_asks_for(function, args, wanted):
    given = injectable_kwargs(function, args, {}, OFFERED)
    assert given == {name: name for name in wanted}


def test_what_the_caller_has_given_stays():
    assert injectable_kwargs(by_item, (), {"status_update": 1}, OFFERED) == {
        "status_update": "status_update"
    }
    assert call_as_job(JOB, by_get, (), {"moi_context": "mine"}) == "mine"
    assert call_as_job(JOB, lambda moi_context: moi_context, (), {"moi_context": 5}) == 5


def test_functions_that_pass_keywords_on_run():
    assert call_as_job(JOB, json.dumps, ({"a": 1},), {"indent": None}) == '{"a": 1}'
    ran = call_as_job(JOB, subprocess.run, ([sys.executable, "-c", ""],), {"check": True})
    assert ran.returncode == 0
    assert call_as_job(JOB, passes_on, (1,), {"a": 2}) == ((1,), {"a": 2})
    call_as_job(JOB, call_command, ("check",), {})
    assert call_as_job(JOB, decorated, (), {}) is str
    assert call_as_job(JOB, coroutine, (), {}) is str


def test_the_examples_of_moi_run():
    def hello(**kwargs):
        return "hi!"

    def hello_with_status(**kwargs):
        return kwargs["status_update"]("I'm about to say hello")

    assert call_as_job(JOB, hello, (), {}) == "hi!"
    assert call_as_job(JOB, hello_with_status, (), {}) == "I'm about to say hello"
