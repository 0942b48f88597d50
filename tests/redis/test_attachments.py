"""What is kept in place of what, under which names, and what is deleted by itself."""

import os
import re
import time
import uuid
from pathlib import Path

import pytest
from django.core.files.storage import default_storage
from django.core.management import call_command

from moi_django import Group
from moi_django.contrib.attachments.site_storage import FileDeletion, get_attachment_storage
from moi_django.contrib.attachments.storage import FOLDER, attachments_of
from moi_django.exceptions import InvalidJob, StoreUnavailable
from tests.helpers.records import job_in

DAY = 86_400.0


@pytest.fixture(autouse=True)
def media(settings, tmp_path):
    """A storage of the test's own."""
    settings.MEDIA_ROOT = str(tmp_path / "media")


@pytest.fixture
def job(store, db):
    return job_in(store, Group.of("a"))


def kept(store, job):
    """Return what is kept of each file of a job; and how many files there are."""
    attachment_storage, texts = get_attachment_storage(), {}
    for name, attached in attachments_of(store, job.id).items():
        with attachment_storage.open_file(attached) as file:
            texts[name] = file.read()
    return texts, len(default_storage.listdir(f"{FOLDER}/{job.id}")[1])


def test_a_file_takes_the_place_of_one_only_when_it_is_kept(store, moi, job, tmp_path):
    attachment_storage, pipe = get_attachment_storage(), tmp_path / "pipe"
    attachment_storage.save(store, job.id, "d.txt", b"first")
    os.mkfifo(pipe)
    for unfit in (tmp_path, str(tmp_path), pipe, "/dev/zero", tmp_path / "none", "a\0b", 7):
        with pytest.raises(InvalidJob):
            attachment_storage.save(store, job.id, "d.txt", unfit)
    moi["FILE_LIMIT"] = 10
    with pytest.raises(InvalidJob, match="FILE_LIMIT"):
        get_attachment_storage().save(store, job.id, "d.txt", b"x" * 11)
    assert kept(store, job) == ({"d.txt": b"first"}, 1)
    attachment_storage.save(store, job.id, "d.txt", b"second")
    assert kept(store, job) == ({"d.txt": b"second"}, 1)
    (tmp_path / "third").write_text("third")
    attachment_storage.save(store, job.id, "d.txt", tmp_path / "third")
    attachment_storage.save(store, job.id, "e.txt", tmp_path / "third")
    assert kept(store, job) == ({"d.txt": b"third", "e.txt": b"third"}, 2)


def test_a_name_may_be_as_long_as_file_systems_take(store, job):
    attachment_storage, longest = get_attachment_storage(), "é" * 98 + ".txt"
    for content in (b"first", b"second"):  # the second one is saved under a longer name
        attachment_storage.save(store, job.id, longest, content)
    assert kept(store, job) == ({longest: b"second"}, 1)
    for name in ("é" * 101, "\N{GREEK SMALL LETTER ALPHA}" * 200, " ", "\N{NO-BREAK SPACE}"):
        with pytest.raises(InvalidJob, match="give up to 200 bytes"):
            attachment_storage.save(store, job.id, name, b"x")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a\nb", "character 2 is U+000A, a control character"),
        ("x\N{RIGHT-TO-LEFT OVERRIDE}gnp.exe", "character 2 is U+202E, RIGHT-TO-LEFT OVERRIDE"),
        ("a/b", "it leads to another directory"),
        ("a\\b", "it leads to another directory"),
        ("..", "it leads to another directory"),
        ("", "it is blank"),
        ("x" * 201, "it is too long"),
    ],
)
def test_a_name_that_cannot_be_a_files_says_why(store, job, name, reason):
    with pytest.raises(InvalidJob, match=rf"is no name for a file, {re.escape(reason)}: give"):
        get_attachment_storage().save(store, job.id, name, b"x")


def file_in(folder, age):
    """Put a file of some seconds of age into a folder of ours; return its path."""
    path = default_storage.path(f"{FOLDER}/{folder}/file.txt")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    Path(path).touch()
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_files_of_unknown_jobs_are_deleted_when_they_are_old(own_redis, moi, store, job):
    stray, fresh, foreign = str(uuid.uuid4()), str(uuid.uuid4()), "reports"
    files = {
        name: file_in(name, seconds)
        for name, seconds in ((stray, 100), (fresh, 0), (foreign, 100), (job.id, 100))
    }

    def there():
        return {name for name, file in files.items() if os.path.exists(file)}

    said = []
    FileDeletion(said.append).delete_due()
    assert (said, there()) == ([], set(files))
    moi["STRAY_FILES_AGE"] = DAY
    # Who knows what this Redis, which has just begun, will be filled with.
    FileDeletion(said.append).delete_due()
    assert (said, there()) == ([], set(files))
    moi["STRAY_FILES_AGE"] = 0.5
    while store.connection.server_uptime() < 1:
        store.connection.redis.blpop([f"{moi['KEY_PREFIX']}nothing"], timeout=0.1)
    file_in(fresh, -DAY)
    FileDeletion(said.append).delete_due()
    assert said == ["the files of 1 unknown jobs were deleted"]
    assert there() == {fresh, foreign, job.id}
    assert not os.path.exists(os.path.dirname(files[stray]))


def test_nothing_is_deleted_while_redis_is_away(moi, db):
    file = file_in(str(uuid.uuid4()), 10 * DAY)
    moi.update(STRAY_FILES_AGE=1.0, REDIS_URL="redis://127.0.0.1:1/0")
    with pytest.raises(StoreUnavailable):
        FileDeletion().delete_due()
    assert os.path.exists(file)


def test_a_storage_without_files_has_no_strays(store):
    assert get_attachment_storage().delete_unknown(store, 0.0) == 0


def test_the_reconciler_deletes_the_files_of_removed_jobs(store, job, capsys):
    get_attachment_storage().save(store, job.id, "d.txt", b"kept")
    store.tree.remove(job.id)
    call_command("moi", "reconcile", "--once")
    assert "the files of 1 removed jobs were deleted" in capsys.readouterr().out
    assert not os.path.exists(default_storage.path(f"{FOLDER}/{job.id}"))
