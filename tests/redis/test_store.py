"""The schema of moi 0.2 in a real Redis, written atomically."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from moi_django.exceptions import GroupNotFound, JobNotFound, StoreUnavailable
from moi_django.models import State
from moi_django.store import Store, StoreConfig
from moi_django.store.connection import CONNECTION_OPTIONS
from tests.helpers.garbage import warned_of_dropping
from tests.helpers.records import new_group, new_job
from tests.helpers.redis_keys import everything, lifetime


@pytest.fixture
def root(store):
    store.jobs.create(new_group("root"))
    return store.jobs.get("root")


@pytest.fixture
def heard(store):
    """Read what is published, after what the test has done."""
    pubsub = store.connection.redis.pubsub()
    pubsub.psubscribe(store.keys.channel("*"))
    pubsub.get_message(timeout=30)

    def heard():
        store.connection.redis.publish(store.keys.channel("end"), "{}")
        said = []
        while True:
            message = pubsub.get_message(timeout=30)
            id = store.keys.id_of_channel(message["channel"].decode())
            if id == "end":
                return said
            said.append((id, json.loads(message["data"])))

    yield heard
    pubsub.close()


def test_the_keys_are_those_of_moi_0_2(store, root):
    job = new_job(root)
    store.jobs.create(job)
    assert json.loads(store.connection.redis.get(store.config.prefix + job.id)) == job.to_dict()
    assert store.connection.redis.smembers(f"{store.config.prefix}root:jobs") == {job.id.encode()}
    group = {"root", "root:jobs", "root:order", "root:totals"}
    assert everything(store) == {job.id, *group, "root:all", "jobs", "jobs:queued"}


def test_every_write_is_told(store, root, heard):
    group = new_group("group", root)
    store.jobs.create(group)
    job = new_job(group)
    store.jobs.create(job)
    store.jobs.change(job.id, lambda info: info.changed(status="x"))
    store.tree.add_member("root", job.id)
    store.tree.remove_member("root", job.id)
    store.tree.remove("group")
    done = {"done": True}
    assert heard() == [
        ("root", {"add": ["group"], **done}),
        ("group", {"add": [job.id], **done}),
        (job.id, {"update": [job.id]}),
        ("root", {"add": [job.id], **done}),
        ("root", {"remove": [job.id], **done}),
        (job.id, {"remove": [job.id], **done}),
        ("group", {"remove": [job.id], **done}),
        ("group", {"remove": ["group"], **done}),
        ("root", {"remove": ["group"], **done}),
    ]


# What many writes share is kept somewhat longer, so that most of them need not renew it.
KEPT_LONGER = 10_200


def test_every_key_expires_and_a_group_outlives_its_jobs(redis_server, moi):
    store = Store(StoreConfig(redis_server.url, moi["KEY_PREFIX"], expire=10_000))
    root = store.users.enrol("user:1", new_group)
    store.jobs.create(group := new_group("group", root))
    store.jobs.create(job := new_job(group))
    assert "user-id-map" in everything(store)
    for key in everything(store):
        store.connection.redis.expire(store.config.prefix + key, 5_000)
    store.jobs.change(job.id, lambda info: info.changed(status="x"))
    kept = (10_000, KEPT_LONGER)
    left = {lifetime(store, store.config.prefix + key, *kept) for key in everything(store)}
    assert left == {*kept}
    store.connection.disconnect()


def test_a_job_needs_its_group(store, root):
    store.tree.remove("root")
    with pytest.raises(GroupNotFound):
        store.jobs.create(new_job(root))
    assert everything(store) == set()


def test_an_id_is_taken_once(store, root):
    job = new_job(root)
    store.jobs.create(job)
    store.jobs.create(job)  # as a client does that has lost the answer
    with pytest.raises(ValueError, match="taken"):
        store.jobs.create(replace(job, name="another"))
    assert store.tree.totals("root") == {"queued": 1}


def test_no_change_is_lost_among_many_writers(store, root):
    job = new_job(root, status="")
    store.jobs.create(job)

    def write(number):
        for _ in range(20):
            store.jobs.change(job.id, lambda info: info.changed(status=f"{info.status}{number}"))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    status = store.jobs.get(job.id).status
    assert {number: status.count(str(number)) for number in range(8)} == dict.fromkeys(range(8), 20)
    assert store.jobs.get(job.id).version == 161


def test_an_end_is_final(store, root):
    store.jobs.create(job := new_job(root))
    store.jobs.change(job.id, lambda info: info.changed(state=State.SUCCESS, result=1))
    for state in State:
        after = store.jobs.change(job.id, lambda info, state=state: info.changed(state=state))
        assert (after.state, after.result) == (State.SUCCESS, 1)


def test_only_one_of_two_ends_wins(store, root):
    store.jobs.create(job := new_job(root))
    barrier = threading.Barrier(2)

    def end(state):
        barrier.wait()
        store.jobs.change(job.id, lambda info: info.changed(state=state))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(end, [State.SUCCESS, State.FAILED]))
    assert store.tree.totals("root") == {str(store.jobs.get(job.id).state): 1}


def test_values_pass_unharmed(store, root):
    store.jobs.create(job := new_job(root))
    result = {"empty": [], "object": {}, "big": 2**60 + 1, "text": "\u2028 \x00 é"}
    store.jobs.change(job.id, lambda info: info.changed(result=result))
    assert store.jobs.get(job.id).result == result


def test_totals_count_all_below(store, root):
    store.jobs.create(group := new_group("group", root))
    jobs = [new_job(group) for _ in range(3)] + [new_job(root)]
    for job in jobs:
        store.jobs.create(job)
    store.jobs.change(jobs[0].id, lambda info: info.changed(state=State.RUNNING))
    assert store.tree.totals("group") == {"queued": 2, "running": 1}
    assert store.tree.totals("root") == {"queued": 3, "running": 1}
    store.tree.remove("group")
    assert store.tree.totals("root") == {"queued": 1}


def test_to_change_what_is_gone_is_an_error(store, root):
    with pytest.raises(JobNotFound):
        store.jobs.change("nobody", lambda info: info.changed())
    store.connection.redis.set(store.keys.info("odd"), "not an info object")
    with pytest.raises(JobNotFound):
        store.jobs.change("odd", lambda info: info.changed())


def test_a_tree_is_read_parents_first_and_siblings_by_age(store, root):
    store.jobs.create(group := new_group("group", root))
    first, second, inner = new_job(root), new_job(root), new_job(group)
    for job in (second, first, inner):
        store.jobs.create(job)
    assert [info.id for info in store.tree.subtree("root")] == [
        "root",
        "group",
        inner.id,
        first.id,
        second.id,
    ]
    assert store.tree.subtree("nobody") == []


def test_a_cycle_and_an_expired_child_end_a_walk(store, root):
    store.jobs.create(group := new_group("group", root))
    store.jobs.create(job := new_job(group))
    store.connection.redis.sadd(f"{store.config.prefix}group:jobs", "root", "gone")
    assert [info.id for info in store.tree.subtree("root")] == ["root", "group", job.id]
    assert store.tree.members("group") == {job.id, "root"}
    assert [info.id for info in store.tree.remove("root")] == [job.id, "group", "root"]
    assert everything(store) == set()


def test_a_linked_job_survives_the_group_it_is_linked_in(store, root):
    store.jobs.create(group := new_group("group", root))
    store.jobs.create(job := new_job(root))
    assert store.tree.add_member("group", job.id) is True
    assert store.tree.add_member("group", job.id) is False
    store.tree.remove(group.id)
    assert store.jobs.get(job.id) == job
    assert store.tree.members("root") == {job.id}


def test_what_a_large_tree_holds_can_be_removed(store, root):
    for _ in range(600):
        store.jobs.create(new_job(root))
    assert len(store.tree.subtree("root")) == 601
    assert len(store.tree.remove("root")) == 601
    assert everything(store) == set()


def test_a_job_that_comes_while_its_group_is_removed_goes_too(store, root):

    def submit():
        with pytest.raises(GroupNotFound):
            while True:
                store.jobs.create(new_job(root))

    with ThreadPoolExecutor(2) as pool:
        busy = pool.submit(submit)
        while len(store.tree.members("root")) < 50:
            pass
        store.tree.remove("root")
        busy.result()  # it is refused
    assert everything(store) == set()


def test_nothing_is_linked_in_a_group_that_is_gone(store, root):
    store.jobs.create(job := new_job(root))
    with pytest.raises(GroupNotFound):
        store.tree.add_member("nobody", job.id)
    assert store.tree.remove_member("nobody", job.id) is False
    group = {"root", "root:jobs", "root:order", "root:totals"}
    assert everything(store) == {job.id, *group, "root:all", "jobs", "jobs:queued"}


def test_prefixes_keep_two_sites_apart(redis_server, store, root):
    other = Store(StoreConfig(redis_server.url, store.config.prefix + "other-"))
    assert other.jobs.get("root") is None
    assert other.keys.channel("root") != store.keys.channel("root")
    other.connection.disconnect()


def test_a_user_keeps_one_group_however_many_ask(store):
    with ThreadPoolExecutor(8) as pool:
        ids = {
            info.id
            for info in pool.map(lambda _: store.users.enrol("user:1", new_group), range(32))
        }
    assert len(ids) == 1
    [id] = ids
    assert store.users.lookup("user:1") == id
    assert store.users.lookup(id) == "user:1"
    store.connection.redis.delete(store.keys.info(id))  # as when it has expired
    assert store.users.enrol("user:1", new_group).id == id
    assert store.jobs.get(id).is_group


def test_an_error_names_the_place_and_no_password():
    store = Store(StoreConfig("redis://:secret@127.0.0.1:1/0"))
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1") as caught:
        store.connection.server_time()
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is not None


def test_a_redis_that_does_not_answer_is_waited_for_once(silent, monkeypatch):
    monkeypatch.setitem(CONNECTION_OPTIONS, "socket_timeout", 0.2)
    store = Store(StoreConfig("redis://{}:{}/0".format(*silent.getsockname())))
    with pytest.raises(StoreUnavailable, match="Timeout"):
        store.connection.server_time()
    silent.setblocking(False)
    silent.accept()[0].close()
    with pytest.raises(BlockingIOError):
        silent.accept()


def test_a_restarted_redis_is_found_again(store, root):
    store.connection.redis.client_kill_filter(_type="normal", skipme=True)
    store.connection.redis.connection_pool.disconnect()
    assert store.jobs.get("root") == root


def test_connections_are_closed_with_the_last_who_uses_a_store(redis_server):
    store = Store(StoreConfig(redis_server.url))
    store.connection.server_time()
    with store.connection.subscribe("news"):
        pass
    stores = [store]
    del store
    assert warned_of_dropping(stores) == []
