"""Each part of the store works by itself, on a connection alone."""

from contextlib import ExitStack

import pytest

from moi_django.contrib.monitoring.job_index import JobIndex
from moi_django.contrib.monitoring.statistics import Statistics
from moi_django.models import State, now
from moi_django.store import Store, StoreConfig
from moi_django.store.connection import Connection
from moi_django.store.engines import EngineMetrics, EngineRegistry
from moi_django.store.job_batches import JobBatches
from moi_django.store.job_records import JobRecords
from moi_django.store.logs import Logs, OutputPiece
from moi_django.store.queue import JobQueue, QueuedAttempt, Worker
from moi_django.store.tree import JobTree
from moi_django.store.users import UserMap
from tests.helpers.failover import Pair
from tests.helpers.records import new_group, new_job


@pytest.fixture
def connection(redis_server, moi):
    config = StoreConfig(redis_server.url, moi["KEY_PREFIX"], expire=100, lease=5.0)
    connection = Connection(config)
    yield connection
    connection.disconnect()


@pytest.fixture
def jobs(connection):
    return JobRecords(connection, EngineRegistry(connection))


@pytest.fixture
def root(connection):
    return UserMap(connection).enrol("ada", new_group)


def test_an_attempt_goes_through_the_queue(connection, jobs, root):
    queue = JobQueue(connection, jobs)
    job = new_job(root, context="lab", python="3.11")
    jobs.create(job, payload=b"signed")
    assert (queue.waiting_count("lab"), queue.waiting_count("other")) == (1, 0)
    running, payload, _ = queue.claim(Worker(job.queue, "one"), "token", now())
    assert (running.state, payload) == (State.RUNNING, b"signed")
    assert queue.longest_waiting("lab") is None
    assert queue.renew(running) is True
    assert queue.running() == {QueuedAttempt(job.id, 1): 1}
    jobs.cancel(job.id)
    assert queue.renew(running) is False
    assert queue.running() == {}


def test_jobs_stand_in_the_tree_the_index_and_the_statistics(connection, jobs, root):
    batches = JobBatches(connection, jobs)
    tree = JobTree(connection, jobs, EngineRegistry(connection), batches)
    job = new_job(root)
    jobs.create(job)
    assert tree.members(root.id) == {job.id}
    assert [info.id for info in tree.subtree(root.id)] == [root.id, job.id]
    found, older = JobIndex(connection, jobs).newest(connection.keys.jobs, None)
    assert ([info.id for info in found], older) == ([job.id], None)
    assert tree.cancel(root.id) == 1
    assert Statistics(connection).count_by_state()["cancelled"] == 1
    minutes = Statistics(connection).completed_by_minute(2)  # another one may have begun
    assert [each.jobs for _, each in minutes if each.jobs] == [{"cancelled": 1}]
    assert [info.id for info in tree.remove(root.id)] == [job.id, root.id]
    assert jobs.get_many([root.id, job.id]) == [None, None]


def test_engines_and_logs_need_no_job(connection):
    engines, log = EngineRegistry(connection), Logs(connection).open("a-job")
    engines.report(EngineMetrics("one", host="node7"))
    assert engines.reports()["one"].metrics.host == "node7"
    log.append([OutputPiece("stdout", "a"), OutputPiece("stdout", "b")], 1000)
    assert [entry.piece for entry in log.read_all()] == [OutputPiece("stdout", "ab")]


def test_any_number_may_listen(connection, jobs, root):
    with ExitStack() as listening:
        heard = []
        for _ in range(40):
            job = new_job(root)
            jobs.create(job)
            wait = listening.enter_context(jobs.listen(job.id))
            jobs.cancel(job.id)
            wait(5)
            heard.append(jobs.get(job.id).state)
    assert heard == [State.CANCELLED] * 40


def test_a_connection_that_listened_hears_nothing_of_what_it_heard_before(connection):
    used = set()
    for number in range(20):
        with connection.subscribe(f"channel {number}") as pubsub:
            used.add(pubsub)
            connection.redis.publish(f"channel {number - 1}", "old")
            connection.redis.publish(f"channel {number}", "new")
            heard = [pubsub.get_message(timeout=30) for _ in range(2)]
        assert [each["type"] for each in heard] == ["subscribe", "message"]
        assert heard[1]["data"] == b"new"
    assert len(used) == 1


def test_a_connection_that_listened_and_was_cut_listens_again(connection):
    with connection.listen("channel"):
        pass
    connection.redis.client_kill_filter(skipme=True)
    with connection.subscribe("channel") as pubsub:
        assert pubsub.get_message(timeout=30)["type"] == "subscribe"
        connection.redis.publish("channel", "heard")
        messages = iter(lambda: pubsub.get_message(timeout=30), None)
        assert next(m["data"] for m in messages if m["type"] == "message") == b"heard"


@pytest.fixture(scope="module")
def pair():
    with Pair() as servers:
        yield servers


# What writes in each of the ways in which commands go to Redis.
WRITES = {
    "a script": lambda store, job, worker: store.jobs.cancel(job.id),
    "scripts in one round trip": lambda store, job, worker: store.jobs.create_many(
        [(new_job(store.jobs.get(job.parent)), b"signed") for _ in range(2)]
    ),
    "scripts at once": lambda store, job, worker: store.connection.run_at_once(
        [store.jobs.replacement(job.to_json().encode(), job, job.changed(status="x"))]
    ),
    "an end and a claim": lambda store, job, worker: store.queue.replace_and_claim(
        job, job.changed(state=State.SUCCESS, date_end=now()), 0.0, worker, "next", now()
    ),
    "commands": lambda store, job, worker: store.engines.report(EngineMetrics("one")),
    "a transaction": lambda store, job, worker: store.logs.open(job.id).append(
        [OutputPiece("stdout", "a")], 1000
    ),
}


@pytest.mark.parametrize("name", WRITES)
def test_what_was_refused_by_a_server_that_became_a_replica_is_written_to_the_other(pair, name):
    store = Store(StoreConfig(pair.url, f"{name} "))
    job = new_job(store.users.enrol("ada", new_group))
    store.jobs.create(job, payload=b"signed")
    worker = Worker(job.queue, "one")
    running, *_ = store.queue.claim(worker, "token", now())
    pair.change_places()
    before = pair.primary.ask("INFO")["rdb_changes_since_last_save"]
    WRITES[name](store, running, worker)
    assert pair.primary.ask("INFO")["rdb_changes_since_last_save"] > before
    store.connection.disconnect()
