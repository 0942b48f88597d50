"""Each part of the store works by itself, on a connection alone."""

import pytest

from moi_django.models import GROUP, Info, State
from moi_django.store import StoreConfig
from moi_django.store.connection import Connection
from moi_django.store.engines import EngineMetrics, EngineRegistry
from moi_django.store.job_index import JobIndex
from moi_django.store.job_records import JobRecords
from moi_django.store.logs import Logs, OutputPiece
from moi_django.store.queue import JobQueue
from moi_django.store.statistics import Statistics
from moi_django.store.tree import JobTree
from moi_django.store.users import UserMap
from tests.helpers.records import new_job


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
    def new_root(id):
        return Info(id=id, name="ada", type=GROUP, pubsub=f"{id}:pubsub", path=id)

    return UserMap(connection).enrol("ada", new_root)


def test_an_attempt_goes_through_the_queue(connection, jobs, root):
    queue = JobQueue(connection)
    job = new_job(root, context="lab")
    jobs.create(job, payload="signed")
    assert (queue.waiting_count("lab"), queue.waiting_count("other")) == (1, 0)
    attempt = queue.find_attempt(job, connection.keys.waiting("lab"))
    sent = queue.claim(attempt, "lab")
    assert sent > attempt.at
    assert queue.claim(attempt, "lab") is None
    running = jobs.change(job.id, lambda info: info.changed(state=State.RUNNING, engine="one"))
    assert queue.waiting_since("lab") is None
    assert list(queue.leases()) == [job.id]
    assert queue.renew(running) is True
    jobs.cancel(job.id)
    assert queue.renew(running) is False
    assert queue.leases() == {}


def test_jobs_stand_in_the_tree_the_index_and_the_statistics(connection, jobs, root):
    tree = JobTree(connection, jobs, EngineRegistry(connection))
    job = new_job(root)
    jobs.create(job)
    assert tree.members(root.id) == {job.id}
    assert [info.id for info in tree.subtree(root.id)] == [root.id, job.id]
    found, older = JobIndex(connection, jobs).newest(connection.keys.jobs, None)
    assert ([info.id for info in found], older) == ([job.id], None)
    assert tree.cancel(root.id) == 1
    assert Statistics(connection).count_by_state()["cancelled"] == 1
    [*_, (_, completed)] = Statistics(connection).completed_by_minute(1)
    assert completed.jobs == {"cancelled": 1}
    assert [info.id for info in tree.remove(root.id)] == [job.id, root.id]
    assert jobs.get_many([root.id, job.id]) == [None, None]


def test_engines_and_logs_need_no_job(connection):
    engines, log = EngineRegistry(connection), Logs(connection).open("a-job")
    engines.report(EngineMetrics("one", host="node7"))
    assert engines.reports()["one"].metrics.host == "node7"
    assert engines.may_pulse("one", 5) is True
    assert engines.may_pulse("one", 5) is False
    log.append([OutputPiece("stdout", "a"), OutputPiece("stdout", "b")], 1000)
    assert [entry.piece for entry in log.read_all()] == [OutputPiece("stdout", "ab")]
