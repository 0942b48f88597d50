"""The traceback of a job has the lines of what was sent by value."""

import linecache

import pytest

from moi_django import submit_nouser
from moi_django.engine import pickling
from moi_django.engine.invocation import format_error

SOON = 30


ENOUGH = 1_000_000


CELL = """\


def inner(number):
    return (
        1
        / number
    )


def outer():
    return [inner(number) for number in (1, 0)]
"""


@pytest.fixture
def cell():
    """A function of a notebook: its source is in no file, and no engine can import it."""
    name = "<cell 7>"
    namespace = {"__name__": "__main__"}
    exec(compile(CELL, name, "exec"), namespace)
    linecache.cache[name] = (len(CELL), None, CELL.splitlines(keepends=True), name)
    yield namespace["outer"]
    linecache.cache.pop(name, None)


def failure_of(function):
    with pytest.raises(ZeroDivisionError) as caught:
        function()
    return format_error(caught.value)


def loaded_elsewhere(payload):
    """Load as a process does that has no source of its own."""
    linecache.clearcache()
    function, _, _ = pickling.unpickle_call(payload)
    return function


@pytest.mark.django_db(transaction=True)
def test_a_failed_job_shows_its_lines(cell, cluster):
    trace = submit_nouser(cell).wait(SOON).result
    assert trace.splitlines()[1:3] == [
        '  File "<cell 7>", line 11, in outer',
        "    return [inner(number) for number in (1, 0)]",
    ]
