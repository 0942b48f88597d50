"""A function as a notebook defines it."""

import linecache

import pytest

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
