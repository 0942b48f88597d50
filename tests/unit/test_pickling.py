"""What is sent by value brings the source that tracebacks show of it."""

import linecache

import pytest

from moi_django.engine import pickling
from moi_django.engine.invocation import format_error
from tests.helpers.notebook import CELL

ENOUGH = 1_000_000


def failure_of(function):
    with pytest.raises(ZeroDivisionError) as caught:
        function()
    return format_error(caught.value)


def loaded_elsewhere(payload):
    """Load as a process does that has no source of its own."""
    linecache.clearcache()
    function, _, _ = pickling.unpickle_call(payload)
    return function


def test_a_traceback_has_the_lines_of_what_was_sent(cell):
    shown = failure_of(loaded_elsewhere(pickling.pickle_call((cell, (), {}), ENOUGH)))
    assert 'File "<cell 7>", line 11, in outer\n    return [inner(' in shown
    # Where an expression has several lines, versions of Python differ in which they show.
    assert 'File "<cell 7>", line 5, in inner\n' in shown and "    1\n" in shown


def test_a_call_brings_no_source_that_would_make_it_too_long(cell):
    whole = pickling.pickle_call((cell, (), {}), ENOUGH)
    bare = pickling.pickle_call((cell, (), {}), len(whole) - 1)
    assert whole.startswith(bare) and b"return [inner" not in bare
    shown = failure_of(loaded_elsewhere(bare))
    assert 'File "<cell 7>", line 11, in outer\n' in shown and "return [inner" not in shown


def test_so_much_source_is_sent_and_no_more(cell, monkeypatch):
    monkeypatch.setattr(pickling, "MAX_SOURCE_LENGTH", 30)
    payload = pickling.pickle_call((cell, (), {}), ENOUGH)
    assert b"def outer()" in payload and b"return [inner" not in payload


def test_what_has_no_source_or_needs_none_is_sent_without(cell):
    linecache.cache.pop("<cell 7>")
    shown = failure_of(loaded_elsewhere(pickling.pickle_call((cell, (), {}), ENOUGH)))
    assert 'File "<cell 7>", line 11, in outer\n' in shown
    assert pickling.pickle_call((len, ("x",), {}), ENOUGH) == pickling.pickle_call(
        (len, ("x",), {}), 0
    )


def test_lines_that_were_sent_go_before_those_of_a_file_that_is_there(cell, tmp_path):
    file = tmp_path / "cell.py"
    file.write_text(CELL)
    namespace = {"__name__": "__main__"}
    exec(compile(CELL, str(file), "exec"), namespace)
    payload = pickling.pickle_call((namespace["outer"], (), {}), ENOUGH)
    file.write_text("first line\n" + CELL)
    assert "return [inner(" in failure_of(loaded_elsewhere(payload))
    assert linecache.getline(str(file), 1) == "first line\n"
    pickling.unpickle_call(pickling.pickle_call((len, ("x",), {}), ENOUGH))
    assert linecache.getline(str(file), 11) == "def outer():\n"
