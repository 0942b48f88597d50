"""The info object and the urls that may become links."""

import json
import re
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moi_django.info_json import info_from_json
from moi_django.models import (
    GROUP,
    JOB,
    MAX_EARLIER_ATTEMPTS,
    MAX_ERROR_LENGTH,
    Attempt,
    Info,
    State,
    error_line_of,
    now,
)
from moi_django.validation import is_safe_url

SEED_KEYS = {
    *("id", "name", "type", "pubsub", "url", "parent", "status", "result"),
    *("date_start", "date_end", "date_created", "context"),
}


def job(**fields):
    return Info(id="j", name="a job", type=JOB, pubsub="j:pubsub", state=State.QUEUED, **fields)


def test_an_info_object_has_the_keys_of_moi_0_2():
    assert json.loads(job().to_json()).keys() >= SEED_KEYS


def test_json_and_back_is_the_same():
    info = job(path="g:j", result={"a": [], "n": 2**60}, status="half way")
    assert info_from_json(info.to_json()) == info
    assert (info.owner, info.ancestors) == ("g", ["g"])


def test_earlier_runs_are_kept_the_last_ones():
    info = job(attempts=99, path="j")
    for number in range(1, 15):
        info = info.changed(state=State.RUNNING, date_start=now())
        info = info.requeued(
            State.LOST if number == 14 else State.FAILED, f"at\nrun {number} fails\n"
        )
    assert (info.state, info.attempt, info.date_start) == (State.QUEUED, 15, None)
    assert [run.attempt for run in info.runs] == list(range(15 - MAX_EARLIER_ATTEMPTS, 15))
    last = info.runs[-1]
    assert (last.state, last.error) == (State.LOST, "run 14 fails")
    assert 0 <= last.ran_seconds < 1
    assert info_from_json(info.to_json()) == info
    assert len(info.requeued(State.FAILED, "x" * 1000).runs[-1].error) == MAX_ERROR_LENGTH


@pytest.mark.parametrize("runs", [None, 7, "x", [7], {"attempt": 1}, [[]]])
def test_runs_that_are_none_are_left_out(runs):
    assert info_from_json(json.dumps({"id": "j", "runs": runs})).runs == ()


def test_what_is_no_part_of_a_run_is_left_out():
    odd = {"attempt": "x", "state": [], "date_start": 7, "date_end": {}, "error": None}
    info = info_from_json(json.dumps({"id": "j", "runs": [odd], "attached": "x"}))
    assert info.runs == (Attempt(1, State.FAILED, None, None, ""),)
    assert info.attached == 0


def test_a_change_makes_a_new_one_with_the_next_version():
    info = job()
    assert info.changed(status="x").version == 2
    assert info.version == 1


def test_what_moi_0_2_wrote_is_read():
    written = {
        "id": "j",
        "name": "n",
        "type": "job",
        "pubsub": "j:pubsub",
        "url": None,
        "parent": "g",
        "status": "Success",
        "result": "15",
        "date_start": "x",
        "date_end": "y",
    }
    info = info_from_json(json.dumps(written))
    assert (info.state, info.path, info.version) == (State.SUCCESS, "g:j", 1)
    running = info_from_json(json.dumps({**written, "status": "half way", "date_end": None}))
    assert (running.state, running.status) == (State.RUNNING, "half way")
    group = info_from_json('{"id": "g", "type": "group", "name": "g"}')
    assert (group.is_group, group.state, group.finished) == (True, None, False)


@pytest.mark.parametrize(
    "raw",
    [
        *("", "7", "[]", "{}", '{"id": 7}', '{"id": ""}', "[" * 100_000, b"\xff"),
        *('{"id": "a\\nb"}', '{"id": "a", "result": NaN}', '{"id": "a", "path": 5}'),
        *('{"id": "a", "parent": ["b"]}', '{"id": "a", "url": {}}', '{"id": "\\ud800", "x": '),
    ],
)
def test_what_is_no_info_object_is_refused(raw):
    with pytest.raises(ValueError, match=r"."):
        info_from_json(raw)


@given(st.dictionaries(st.sampled_from([*SEED_KEYS, "state", "version", "path", "runs"]),
                       st.none() | st.text() | st.integers() | st.lists(st.text())))  # fmt: skip
def test_any_object_is_read_or_refused(fields):
    try:
        info = info_from_json(json.dumps(fields))
    except ValueError:
        return
    assert info.type in (JOB, GROUP)
    assert isinstance(info.status, str)
    assert (info.state is None) == info.is_group


def test_only_queued_and_running_are_unfinished():
    assert [state for state in State if not state.finished] == [State.QUEUED, State.RUNNING]
    assert [state.status for state in State] == [
        *("Queued", "Running", "Success", "Failed", "Cancelled", "Failed")
    ]


def test_now_is_utc_with_microseconds():
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}", now())


@pytest.mark.parametrize(
    "url", ["/result", "result", "../x", "https://example.org/r?a=1", "HTTP://x"]
)
def test_safe_urls(url):
    assert is_safe_url(url)


@pytest.mark.parametrize(
    "url",
    [
        *(
            "javascript:alert(1)",
            "JavaScript:alert(1)",
            "java\tscript:alert(1)",
            "\x01javascript:x",
        ),
        *(
            "data:text/html,x",
            "vbscript:x",
            "//evil.example",
            "\\\\evil.example",
            "/\\evil.example",
        ),
        *("https:", "https:evil", "http://[bad", "mailto:a@b", " /x"),
    ],
)
def test_unsafe_urls(url):
    assert not is_safe_url(url)
    assert job(url=url).link is None


def test_a_link_ends_with_the_id():
    assert job(url="/result/").link == job(url="/result").link == "/result/j"


def test_half_a_character_is_escaped():
    info = info_from_json('{"id": "j", "name": "\\udcff", "result": ["\\uD83D\\uDE00", "\\ud83d"]}')
    assert (info.name, info.result) == ("\\udcff", ["\U0001f600", "\\ud83d"])
    info.to_json().encode()


def traceback_of(raised):
    try:
        try:
            raise KeyError("the cause")
        except KeyError as error:
            raise raised from error
    except BaseException as error:
        return "".join(traceback.format_exception(error))


def noted(error, note):
    error.add_note(note)
    return error


def test_why_is_what_was_raised_and_the_first_line_of_its_message():
    for raised, why in {
        ValueError("no such sample"): "ValueError: no such sample",
        ValueError("1 error\n  in a field\nsee https://example.org"): "ValueError: 1 error",
        noted(ValueError("bad"), "while reading line 3"): "ValueError: bad",
        json.JSONDecodeError("Expecting value", "x", 0): (
            "JSONDecodeError: Expecting value: line 1 column 1 (char 0)"
        ),
        KeyboardInterrupt(): "KeyboardInterrupt",
        SyntaxError("'(' was never closed", ("f.py", 1, 5, "x = (")): (
            "SyntaxError: '(' was never closed"
        ),
        ExceptionGroup("two", [ValueError(1), KeyError("x")]): (
            "ExceptionGroup: two (2 sub-exceptions)"
        ),
    }.items():
        assert error_line_of(traceback_of(raised)) == why
    assert error_line_of("The job was killed by signal 11.\n") == "The job was killed by signal 11."
    assert error_line_of("") == ""
