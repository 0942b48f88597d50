"""Of a traceback what was raised and the user's own lines are found."""

import json
import traceback

import pytest

from moi_django.contrib.job_pages.tracebacks import summarize_traceback


def raised(call):
    try:
        call()
    except Exception:
        return traceback.format_exc().rstrip()
    raise AssertionError("it raised nothing")


def parse():
    json.loads("{")


def fail_again():
    try:
        parse()
    except ValueError as error:
        raise RuntimeError("of two\nlines") from error


def test_the_lines_of_the_users_code_are_found():
    summary = summarize_traceback(raised(parse))
    assert summary.error.startswith("json.decoder.JSONDecodeError: Expecting property name")
    assert 'json.loads("{")' in summary.own_frames and "in parse" in summary.own_frames
    assert "json/decoder.py" not in summary.own_frames


def test_of_several_the_last_one_counts():
    summary = summarize_traceback(raised(fail_again))
    assert summary.error == "RuntimeError: of two\nlines"
    assert "in fail_again" in summary.own_frames and "in parse" not in summary.own_frames


def test_where_all_lines_are_the_users_there_is_no_choice():
    summary = summarize_traceback(raised(lambda: 1 / 0))
    assert (summary.error, summary.own_frames) == ("ZeroDivisionError: division by zero", "")


@pytest.mark.parametrize(
    "text", ["", "The job was killed by signal 9 (SIGKILL).", '  File "a.py", line 1, in x\n']
)
def test_what_is_none_is_told_as_it_is(text):
    assert summarize_traceback(text) is None


@pytest.mark.parametrize(
    "file",
    [
        "/site/.venv/lib/python3.12/site-packages/numpy/core.py",
        "/usr/lib/python3/dist-packages/x.py",
        r"C:\Python312\Lib\json\decoder.py",
        "<frozen importlib._bootstrap>",
    ],
)
def test_what_is_installed_is_not_the_users(file):
    frames = (
        f'  File "/site/lab.py", line 3, in run\n    go()\n  File "{file}", line 1, in f\n    x\n'
    )
    text = f"Traceback (most recent call last):\n{frames}KeyError: 'x'"
    summary = summarize_traceback(text)
    assert summary.own_frames == 'File "/site/lab.py", line 3, in run\n  go()\n'
    assert summary.error == "KeyError: 'x'"
