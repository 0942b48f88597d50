"""Whatever another program has written to Redis, pages are shown, and the reconciler goes on."""

import json
from io import BytesIO

import hypothesis.strategies as st
import pytest
from django.contrib.auth import get_user_model
from django.core.files.storage import default_storage
from django.test import Client
from django.urls import reverse
from hypothesis import HealthCheck, given, settings

from moi_django import Group, owners
from moi_django.cluster.reconciler import Reconciler
from moi_django.contrib.attachments.site_storage import get_attachment_storage
from moi_django.contrib.attachments.storage import attachments_of
from moi_django.contrib.command_line import text_report
from moi_django.contrib.live_terminal import rich_view
from moi_django.contrib.live_terminal.overview import get_overview, get_user_tree
from moi_django.contrib.monitoring import owner_names
from moi_django.engine.current import CurrentJob
from moi_django.info_json import info_from_json
from moi_django.models import MAX_AMOUNT, Info, State, now
from tests.helpers.queues import QUEUE, claim, queued_job
from tests.helpers.records import finish, job_in

pytestmark = pytest.mark.django_db(transaction=True)

ODD_NUMBERS = ["1e308", "5e-324", "-5", "0", "1e999", "9" * 400, "true", '"x"', "null", "[]"]
ODD_RECORDS = {
    "too large a number": '{"id": "ID", "result": 1e999}',
    "nested too deep": '{"id": "ID", "result": ' + "[" * 975 + "]" * 975 + "}",
    "another id": '{"id": "another", "name": "x"}',
    "no id": "{}",
    "a list": "[]",
    "no JSON": "{",
    "no text": b"\xff\xfe",
    "an odd date": '{"id": "ID", "date_start": "0001-01-01", "date_end": "9999-99-99"}',
}
NUMBERS = [*("progress", "done", "total", "cpu_seconds", "peak_memory", "version"), "attempt"]


@pytest.fixture
def user(moi):
    return get_user_model().objects.create_superuser("ada")


@pytest.fixture
def client(user):
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def job(user, store):
    job = job_in(store, Group.create(user, "a sweep"), "a job", context="lab", python="3.11")
    return store.jobs.change(
        job.id, lambda info: info.changed(state=State.RUNNING, date_start=now(), engine="one")
    )


def write(store, id, raw):
    store.connection.redis.set(store.keys.info(id), raw)


def look_at_all(client, user, job, statuses=(200,)):
    """Look at everything that shows a job."""
    for page in ("/", f"/moi/groups/{job.parent}/", "/admin/moi_django/alljobs/"):
        assert client.get(page).status_code == 200
    for page in ("job", "output", "result"):
        answer = client.get(reverse(f"moi:{page}", args=[job.id]))
        assert answer.status_code in statuses
        b"".join(answer)
    for facts in (get_overview(), get_user_tree(user.username)):
        json.dumps(facts.to_dict(), allow_nan=False)
        rich_view.render_text(facts)
    text_report.detail_blocks([each.info for each in Group.of(user).jobs()])


@pytest.mark.parametrize("number", ODD_NUMBERS, ids=lambda number: number[:10])
@pytest.mark.parametrize("is_over", [False, True], ids=["running", "ended"])
def test_no_number_of_a_record_keeps_a_page_from_being_shown(
    client, user, store, job, number, is_over
):
    if is_over:
        job = finish(store, job)
    written = {**json.loads(job.to_json()), "date_start": "2026-01-02 10:00:00.000000"}
    for fields in (*([] if is_over else ([name] for name in NUMBERS)), NUMBERS):
        record = json.dumps({**written, **dict.fromkeys(fields, "NUMBER")})
        write(store, job.id, record.replace('"NUMBER"', number))
        look_at_all(client, user, job, (200, 404))


@pytest.mark.parametrize("name", ODD_RECORDS)
def test_no_record_keeps_the_others_from_being_shown(client, user, store, job, name):
    other = job_in(store, Group.of(user), "the other job")
    record = ODD_RECORDS[name]
    write(store, job.id, record if isinstance(record, bytes) else record.replace("ID", job.id))
    look_at_all(client, user, job, (200, 404))
    assert "the other job" in client.get("/").content.decode()
    assert [info.id for info in store.tree.remove(other.id)] == [other.id]
    store.tree.remove(job.id)
    store.tree.remove(store.users.lookup(f"user:{user.pk}"))
    assert store.jobs.get(other.id) is None


def test_no_member_of_a_group_keeps_the_others_from_being_shown(client, user, store, job):
    redis, keys = store.connection.redis, store.keys
    for member in (b"\xff\xfe", "..", "", "x" * 1000, "a:b", "<b>"):
        redis.sadd(keys.members(job.parent), member)
        redis.zadd(keys.jobs, {member: 1e300})
        redis.zadd(keys.owner_jobs(job.owner), {member: "inf"})
        redis.zadd(keys.engines, {member: 5})
        redis.hset(keys.users, member, member)
    look_at_all(client, user, job)
    assert store.tree.members(job.parent) == {job.id}
    store.tree.remove(job.parent)
    assert store.jobs.get(job.id) is None


def test_no_entry_of_a_log_and_no_total_keeps_a_page_from_being_shown(client, user, store, job):
    redis, keys = store.connection.redis, store.keys
    for entry in (
        {"x": "y"},
        {"s": b"\xff", "t": b"\xfe", "at": "x"},
        {"t": "seen", "at": "1e999"},
    ):
        redis.xadd(keys.log(job.id), entry)
    redis.hset(keys.totals(job.parent), mapping={"running": "many", "queued": "1e999", b"\xff": 5})
    redis.hset(
        keys.ended_in_minute(int(store.connection.server_time() // 60)), "failed:jobs", "nan"
    )
    redis.set(keys.display(job.id), '{"image/png": "?", "text/html": 5}')
    redis.hset(
        keys.files(job.id), mapping={"a": "[]", b"\xff": "{", "b": '{"path": "/etc/passwd"}'}
    )
    redis.set(keys.engine("one"), '{"engine": "one", "cpu": 1e308, "memory": -1, "pid": true}')
    redis.zadd(keys.engines, {"one": 1})
    look_at_all(client, user, job)
    page = client.get(f"/moi/jobs/{job.id}/").content.decode()
    assert "seen" in page and "passwd" not in page
    finish(store, job)
    redis.set(keys.display(job.id), '{"image/png": "a"}')
    assert client.get(reverse("moi:form", args=[job.id, "png"])).status_code == 404
    look_at_all(client, user, job)


@pytest.mark.parametrize(
    "path", ["../secret.txt", "moi/../secret.txt", "secret.txt", "moi/OTHER/x", "moi/ID/../../x"]
)
def test_a_file_that_is_none_of_its_job_is_not_served(client, store, job, path):
    noted = {"name": "x", "path": path.replace("ID", job.id), "size": 1, "type": "text/plain"}
    store.artifacts.save_file(job.id, "x", json.dumps(noted))
    assert attachments_of(store, job.id) == {}
    assert client.get(reverse("moi:file", args=[job.id, "x"])).status_code == 404


@pytest.mark.parametrize("member", ["..", "../../../etc", ".", "", "/", "a/b", b"\xff\xfe", "moi"])
def test_only_directories_of_jobs_are_deleted(own_redis, moi, store, member):
    kept = default_storage.save("moi/precious.txt", BytesIO(b"x"))
    store.connection.redis.sadd(store.keys.with_files, member)
    assert get_attachment_storage().delete_orphaned(store) == 0
    assert default_storage.exists(kept)
    assert not store.connection.redis.exists(store.keys.with_files)
    default_storage.delete(kept)


def test_the_reconciler_goes_on_whatever_stands_in_the_queues(own_redis, moi, store):
    redis, keys = store.connection.redis, store.keys
    root = store.users.enrol("ada", lambda id: Info(id, "ada", "group", "", path=id))
    job = queued_job(store, root)
    for member in (b"\xff\xfe", "", ":", "x", "9" * 500 + ":x", "1:" + b"\xff".decode("latin-1")):
        for key in (keys.running, keys.waiting(QUEUE), keys.workers(QUEUE), keys.delayed):
            redis.zadd(key, {member: -1})
        redis.sadd(keys.queues, member)
    said = []
    Reconciler(said.append).reconcile()
    assert claim(store).info.id == job.id
    assert redis.zcard(keys.delayed) == 0


def test_a_spoilt_queue_holds_up_no_other(own_redis, moi, store):
    redis, keys = store.connection.redis, store.keys
    root = store.users.enrol("ada", lambda id: Info(id, "ada", "group", "", path=id))
    for context in ("spoilt", "zoo"):
        queued_job(store, root, context=context)
    redis.set(keys.waiting("spoilt:3.11"), "abc")
    said = []
    reconciler = Reconciler(said.append)
    for _ in range(3):
        reconciler.reconcile()
    [job] = [each for each in Group.of("ada").jobs() if each.info.context == "zoo"]
    assert job.status == "Waits for an engine of 'zoo'"
    assert len([text for text in said if "WRONGTYPE" in text]) == 1


@pytest.mark.parametrize("key", ["x", "9" * 40, "0" * 8 + "-0000-4000-8000-" + "0" * 12, "", "-1"])
def test_a_user_whose_key_is_none_of_this_site_is_listed_by_it(client, user, store, job, key):
    id = store.users.enrol(f"user:{key}", lambda id: Info(id, "x", "group", "", path=id)).id
    look_at_all(client, user, job)
    assert owner_names.group_ids_by_name()[f"user:{key}"] == id
    assert owners.display_names([id]) == {id: f"user:{key}"}


@given(
    numbers=st.lists(
        st.integers()
        | st.integers(2**1000, 2**2000)
        | st.floats()
        | st.decimals(allow_nan=False)
        | st.fractions()
        | st.booleans(),
        min_size=1,
        max_size=2,
    )
)
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_number_is_progress_that_a_page_can_show(numbers):
    measures = []
    job = CurrentJob("id", "name", 1, None, None, str, measures.append, print)
    job.progress(*numbers)
    if len(numbers) == 1:
        job.count(numbers[0])
    for measure in measures:
        shown = [number for number in measure if number is not None]
        assert all(type(number) is float and abs(number) <= MAX_AMOUNT for number in shown)
        assert measure.progress is None or 0 <= measure.progress <= 1
        info = Info("id", "x", "job", "", state=State.RUNNING, path="id").changed(
            **measure._asdict()
        )
        assert info_from_json(info.to_json()) == info
