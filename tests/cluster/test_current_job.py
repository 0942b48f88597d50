"""What a job can say of itself and leave behind."""

import base64
import json
import os
from functools import partial

import pytest
from django.core.files.storage import default_storage

from moi_django import (
    CurrentJob,
    attach,
    checkpoint,
    current_job,
    progress,
    resume,
    submit_nouser,
    track,
)
from moi_django.contrib.attachments.site_storage import FileDeletion, get_attachment_storage
from moi_django.contrib.attachments.storage import attachments_of
from moi_django.contrib.displays.rich_display import SIZE, display_forms
from moi_django.exceptions import InvalidJob
from moi_django.models import State
from tests.helpers.processes import wait_for
from tests.site import work

pytestmark = pytest.mark.django_db(transaction=True)
SOON = 30


def how_far(job):
    info = job.refresh().info
    return (info.progress, info.done, info.total)


def output_of(store, job):
    return "".join(entry.piece.text for entry in store.logs.open(job.id).read_all())


def test_progress_by_keyword(cluster):
    job = submit_nouser(work.count_with_kwargs).wait(SOON)
    assert job.state is State.SUCCESS, job.result
    assert how_far(job) == (1.0, 4, 4)


def test_progress_by_function_while_it_runs(cluster, tmp_path):
    gate = tmp_path / "gate"
    job = submit_nouser(work.count_with_functions, str(gate))
    wait_for(lambda: how_far(job) == (0.25, 0.25, None))
    gate.touch()
    assert job.value(SOON) == [6, "unnamed", 1]
    assert how_far(job) == (1.0, 3, 3)


def test_progress_that_is_no_number_says_nothing(cluster, store, tmp_path):
    gate = tmp_path / "gate"
    job = submit_nouser(work.count_to_nan, str(gate))
    wait_for(lambda: output_of(store, job) == "said\n")
    gate.touch()
    job.value(SOON)
    assert how_far(job) == (0.5, 1, 2)


def test_bars_of_tqdm_are_progress(cluster, tmp_path):
    gate = tmp_path / "gate"
    job = submit_nouser(work.count_with_tqdm, str(gate))
    # The outer bar is told: the inner ones count to 7.
    wait_for(lambda: how_far(job) == (1.0, 10, 10))
    gate.touch()
    job.value(SOON)


@pytest.mark.parametrize("count", [work.count_a_generator, work.count_with_tqdm_without_end])
def test_how_much_is_done_shows_when_nobody_knows_of_how_much(cluster, tmp_path, count):
    gate = tmp_path / "gate"
    job = submit_nouser(count, str(gate))
    wait_for(lambda: how_far(job) == (None, 3, None))
    gate.touch()
    assert job.value(SOON) == 3
    assert how_far(job) == (None, 3, None)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ((0.3,), (0.3, 0.3, None)),
        ((5,), (1.0, 5, None)),
        ((3, 4), (0.75, 3, 4)),
        ((5, 4), (1.0, 5, 4)),
        ((5, 0), (None, 5, None)),
        ((0, 0), (None, 0, None)),
        ((5, -1), (None, 5, None)),
    ],
)
def test_what_progress_shows(given, shown):
    measures = []
    CurrentJob("id", "name", 1, None, None, str, measures.append, print).progress(*given)
    assert measures == [shown]


def test_outside_of_a_job_all_is_silent():
    assert current_job() is None
    assert list(track([1, 2])) == list(track([1, 2], resume=True)) == [1, 2]
    checkpoint(7)
    assert resume() is None and resume("default") == "default"
    progress(1, 2)
    attach("x", b"")


@pytest.mark.parametrize(
    ("function", "mime"),
    [
        (work.figure, "image/png"),
        (work.table, "text/html"),
        (work.image, "image/png"),
        (work.markdown, "text/markdown"),
        (work.json_tree, "application/json"),
        (partial(work.show_itself, "well"), "text/html"),
    ],
)
def test_a_result_is_shown_as_ipython_would(cluster, store, function, mime):
    job = submit_nouser(function).wait(SOON)
    assert job.state is State.SUCCESS, job.result
    forms = store.artifacts.load_display(job.id)
    assert mime in forms
    if mime == "image/png":
        picture = base64.b64decode(forms[mime])
        assert picture.startswith(b"\x89PNG")
        if function is work.figure:  # it is twice as large as it looks
            sides = [int.from_bytes(picture[start : start + 4]) for start in (16, 20)]
            assert [side // 2 for side in sides] == list(map(int, forms[f"{mime}{SIZE}"].split()))
    else:
        assert forms[mime]
    assert 0 < store.connection.redis.ttl(store.keys.display(job.id)) <= store.config.expire
    job.remove()
    assert store.artifacts.load_display(job.id) == {}


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("no text", "The result cannot be shown as text/html: "),
        ("leaves", "SystemExit"),
        ("fails", "ValueError: no HTML today"),
        ("long", "not shown as text/html: that takes 3,000,012 bytes, and MOI['DISPLAY_LIMIT'] is"),
    ],
)
def test_a_result_that_cannot_show_itself_is_a_result_and_says_so(cluster, store, how, told):
    job = submit_nouser(work.show_itself, how)
    assert job.value(SOON) == {"kept": True}
    assert "text/html" not in store.artifacts.load_display(job.id)
    assert told in output_of(store, job)
    assert ("text/markdown" in store.artifacts.load_display(job.id)) is (how == "no text")


def test_what_a_job_displays_is_printed(cluster, store):
    job = submit_nouser(work.display_some).wait(SOON)
    assert job.state is State.SUCCESS, job.result
    said = output_of(store, job)
    assert said.startswith("  name\n0  ada text\n{'image/png': b''}\n")
    assert said.endswith("\rprinted\n")


def test_what_json_says_needs_no_other_form(cluster, store):
    for value in (1, "text", [1, {"a": None}], {"b": 2}, None):
        assert display_forms(value, 1000) == {}

    class Odd:
        def _repr_html_(self):
            return "<b>" + "x" * 100 + "</b>"

        def _repr_json_(self):
            return {"a": 1}

    assert display_forms(Odd(), 1000)["text/html"].startswith("<b>")
    assert json.loads(display_forms(Odd(), 1000)["application/json"]) == {"a": 1}
    assert "text/html" not in display_forms(Odd(), 100)


def test_what_cannot_be_shown_is_still_a_result(cluster, store):
    class Broken:
        def __repr__(self):
            raise ValueError("no")

    assert display_forms(Broken(), 1000) == {}


def test_files_are_kept_with_a_job_and_go_with_it(cluster, store, tmp_path):
    notes = tmp_path / "some.txt"
    notes.write_text("noted")
    job = submit_nouser(work.attach_files, str(notes))
    assert job.value(SOON) == "attached"
    assert job.info.attached == 3
    files = attachments_of(store, job.id)
    assert {name: (each.size, each.type) for name, each in files.items()} == {
        "table.csv": (8, "text/csv"),
        "notes.txt": (5, "text/plain"),
    }
    attachment_storage = get_attachment_storage()
    with attachment_storage.open_file(files["table.csv"]) as file:
        assert file.read() == b"a,b\n3,4\n"
    assert attachment_storage.delete_orphaned(store) == 0
    job.remove()
    said = []
    FileDeletion(said.append).delete_due()
    assert said == ["the files of 1 removed jobs were deleted"]
    assert not os.path.exists(default_storage.path(f"moi/{job.id}"))
    assert not store.connection.redis.exists(store.keys.with_files)
    FileDeletion(said.append).delete_due()
    assert len(said) == 1


@pytest.mark.parametrize("name", ["", " ", "..", "a/b", "a\\b", "x" * 201, "a\nb", 7])
def test_odd_names_are_refused(store, name):
    with pytest.raises(InvalidJob, match="is no name for a file"):
        get_attachment_storage().save(store, "a-job", name, b"x")


def test_what_is_no_file_is_refused(store, moi, tmp_path):
    moi["FILE_LIMIT"] = 10
    attachment_storage = get_attachment_storage()
    with pytest.raises(InvalidJob, match="bytes or a path"):
        attachment_storage.save(store, "a-job", "x", 7)
    with pytest.raises(InvalidJob, match="cannot be read"):
        attachment_storage.save(store, "a-job", "x", tmp_path / "none")
    with pytest.raises(InvalidJob, match="FILE_LIMIT"):
        attachment_storage.save(store, "a-job", "x", b"x" * 11)
    assert store.artifacts.load_files("a-job") == {}


def test_a_file_that_cannot_be_kept_fails_the_job_with_a_reason(cluster):
    job = submit_nouser(work.attach_nonsense, "a/b", b"").wait(SOON)
    assert job.state is State.FAILED
    assert "is no name for a file" in job.result
