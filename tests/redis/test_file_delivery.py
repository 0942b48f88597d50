"""Files of an engine that does not share the directory of the site come through Redis, or not."""

import json
import threading
from dataclasses import replace

import pytest

from moi_django import Group
from moi_django.contrib.attachments import delivery, storage_id
from moi_django.contrib.attachments import storage as storage_module
from moi_django.contrib.attachments.site_storage import get_attachment_storage
from moi_django.contrib.attachments.storage import FOLDER, attachments_of
from moi_django.exceptions import InvalidJob, MoiError, StoreUnavailable
from moi_django.models import State
from moi_django.store import Store
from tests.helpers.file_delivery import receiving
from tests.helpers.processes import wait_for
from tests.helpers.records import job_in


@pytest.fixture(autouse=True)
def elsewhere(settings, moi, tmp_path):
    """A site whose engines may be on other hosts, as far as it knows."""
    settings.MEDIA_ROOT = str(tmp_path / "media")
    moi["CONTEXTS"] = {"default": {"connection_file": str(tmp_path / "none.json")}}


@pytest.fixture
def job(store, db):
    return job_in(store, Group.of("a"), state=State.RUNNING)


@pytest.fixture
def far(tmp_path):
    """What an engine has whose directory is another one."""
    return lambda: replace(get_attachment_storage(), storage=str(tmp_path / "far"))


def content_of(store, job, name):
    with get_attachment_storage().open_file(attachments_of(store, job.id)[name]) as file:
        return file.read()


def test_a_file_of_any_size_arrives_and_leaves_nothing_behind(store, moi, job, far, tmp_path):
    large = tmp_path / "large"
    large.write_bytes(b"0123456789abcdef" * 300_000)
    with receiving():
        for name, content in (("empty", b""), ("small", b"x"), ("large", large)):
            assert far().save(store, job.id, name, content).name == name
        assert far().save(store, job.id, "small", b"another").size == 7
    assert content_of(store, job, "large") == large.read_bytes()
    assert (content_of(store, job, "empty"), content_of(store, job, "small")) == (b"", b"another")
    assert not (tmp_path / "far").exists()
    assert store.connection.redis.keys(f"{moi['KEY_PREFIX']}files:*") == []


def test_few_pieces_of_a_file_are_in_redis_at_a_time(store, job, far, monkeypatch):
    monkeypatch.setattr(delivery, "PIECE", 1000)
    sender = delivery.Sender(store, far().key, far().site_id)
    answers, lengths = sender._answers, []

    def take():
        for _ in range(3):
            store.connection.redis.rpush(answers, json.dumps({"take": 2}))
            wait_for(lambda: store.connection.redis.llen(sender._pieces) >= 2)
            lengths.append(len(store.connection.redis.lpop(sender._pieces, 100)))
        store.connection.redis.rpush(answers, json.dumps({"error": "no", "is_refused": True}))

    taker = threading.Thread(target=take)
    taker.start()
    import io

    with pytest.raises(InvalidJob, match="no"):
        sender.send(job.id, "x", io.BytesIO(b"x" * 50_000), 50_000)
    taker.join()
    assert (lengths, store.connection.redis.llen(sender._pieces)) == ([2, 2, 2], 0)


@pytest.fixture
def away(store, tmp_path):
    """A Redis that does not answer."""
    return Store(replace(store.connection.config, url=f"unix://{tmp_path}/none.sock"))


def test_a_link_that_is_cut_while_a_file_is_on_its_way_keeps_no_file_from_the_site(
    store, job, far, away, monkeypatch
):
    monkeypatch.setattr(storage_module, "LINK_INTERVAL", 0.05)
    # For which the site waits for the rest of what did not come.
    monkeypatch.setattr("moi_django.contrib.attachments.receiver.ANSWERED_WITHIN", 5.0)
    content, sent, push = b"0123456789abcdef" * 50_000, [], delivery.Sender._push

    def push_unless_cut(self, key, data):
        sent.append(key)
        if len(sent) == 3:  # the second piece
            away.connection.server_time()
        push(self, key, data)

    monkeypatch.setattr(delivery.Sender, "_push", push_unless_cut)
    with receiving():
        assert far().save(store, job.id, "x", content).size == len(content)
    assert content_of(store, job, "x") == content
    assert sent[1] != sent[-1]


def test_a_file_of_a_redis_that_stays_away_is_not_kept(job, away, monkeypatch):
    monkeypatch.setattr(storage_module, "LINK_PATIENCE", 0.0)
    with pytest.raises(StoreUnavailable):
        get_attachment_storage().save(away, job.id, "x", b"content")


@pytest.mark.parametrize("taken", [False, True])
def test_a_file_that_does_not_arrive_is_no_success(store, moi, job, far, monkeypatch, taken):
    monkeypatch.setattr(delivery, "TAKEN_WITHIN", 0.2)
    monkeypatch.setattr(delivery, "ANSWERED_WITHIN", 0.2)
    if taken:
        sender = delivery.Sender(store, far().key, far().site_id)
        store.connection.redis.rpush(sender._answers, json.dumps({"take": 1}))
        monkeypatch.setattr(delivery, "Sender", lambda *args: sender)
        monkeypatch.setattr("moi_django.contrib.attachments.storage.Sender", lambda *args: sender)
    words = "has said nothing" if taken else "no `manage.py moi reconcile` that does"
    with pytest.raises(MoiError, match=words):
        far().save(store, job.id, "x", b"content")
    assert attachments_of(store, job.id) == {}
    assert store.connection.redis.keys(f"{moi['KEY_PREFIX']}files:*") == []


def test_what_the_site_would_not_keep_is_refused(store, moi, job, far):
    ended = job_in(store, Group.of("a"))
    engines = far()
    moi["FILE_LIMIT"] = 10
    with receiving():
        with pytest.raises(InvalidJob, match="has 20 bytes; MOI"):
            replace(engines, limit=10**9).save(store, job.id, "x", b"x" * 20)
        with pytest.raises(InvalidJob, match="is of a job that does not run"):
            far().save(store, ended.id, "x", b"x")
        sender = delivery.Sender(store, engines.key, engines.site_id)
        store.connection.redis.rpush(
            sender._inbox,
            delivery.sign(
                engines.key,
                json.dumps({"way": "w", "job": job.id, "name": "x", "size": 3}).encode(),
            ),
        )
        pieces = store.keys.files_on_way("w")
        longer = delivery.sign(engines.key, b"longer", delivery.piece_label("w", 0))
        store.connection.redis.rpush(pieces, longer)
        answers = store.keys.files_on_way("w:answers")
        wait_for(lambda: store.connection.redis.llen(answers) == 2)
        assert b"has another size than was said" in store.connection.redis.lindex(answers, 1)


def test_what_is_not_signed_by_the_site_is_not_looked_at(store, job, far, caplog):
    engines = far()
    forged = replace(engines, key=b"a key of somebody else")
    with receiving():
        sender = delivery.Sender(store, forged.key, forged.site_id)
        asked = {"way": "w", "job": job.id, "name": "x", "size": 1}
        store.connection.redis.rpush(
            sender._inbox, delivery.sign(forged.key, json.dumps(asked).encode())
        )
        wait_for(lambda: "is not signed by the site" in caplog.text)
        # A piece is good in its own place only.
        store.connection.redis.rpush(
            sender._inbox, delivery.sign(engines.key, json.dumps(asked).encode())
        )
        store.connection.redis.rpush(
            store.keys.files_on_way("w"), delivery.sign(engines.key, b"x", "w:1")
        )
        wait_for(lambda: store.connection.redis.llen(store.keys.files_on_way("w:answers")) == 2)
    assert attachments_of(store, job.id) == {}


def test_a_directory_is_known_by_its_id(moi, tmp_path):
    site = get_attachment_storage()
    assert site.site_id and get_attachment_storage().site_id == site.site_id
    assert (tmp_path / "media" / FOLDER / storage_id.NAME).read_text() == site.site_id
    (tmp_path / "mounted").symlink_to(tmp_path / "media")
    assert replace(site, storage=str(tmp_path / "mounted"))._shared_storage() is not None
    assert replace(site, storage=str(tmp_path / "far"))._shared_storage() is None
    with pytest.raises(MoiError, match="is a directory of this engine, and that of the site"):
        replace(site, storage=str(tmp_path), site_id=None)._shared_storage()


def test_a_site_whose_engines_are_on_its_host_leaves_no_trace_of_that(moi, tmp_path):
    moi["CONTEXTS"] = {"default": {}, "lab": {"LAUNCHER": "local"}}
    assert get_attachment_storage().site_id == storage_id.UNKNOWN
    assert not (tmp_path / "media").exists()
