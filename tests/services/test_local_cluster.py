"""A local cluster counts as started when each of its engines gets tasks from the scheduler."""

import time

import pytest

from moi_django.contrib.services import local_cluster
from moi_django.contrib.services.local_cluster import make_local_cluster, unreached_engines
from moi_django.exceptions import ServiceError
from tests.helpers.clusters import start_cluster_sync


@pytest.fixture
def cluster(tmp_path):
    cluster = make_local_cluster(2, tmp_path, {})
    yield cluster
    cluster.stop_cluster_sync()


def test_an_engine_that_gets_no_task_is_noticed(cluster, monkeypatch):
    client = start_cluster_sync(cluster)
    assert unreached_engines(client) == []
    counts = {"queue": 0, "completed": 0, "tasks": 0}
    monkeypatch.setattr(client, "queue_status", lambda: {0: {**counts, "completed": 1}, 1: counts})
    assert unreached_engines(client, within=0.5) == [client.ids[1]]
    client.close()


def test_an_engine_that_is_at_work_for_somebody_else_has_been_reached(cluster):
    """It would be killed, and its job with it."""
    client = start_cluster_sync(cluster)
    view = client.load_balanced_view()
    busy = [view.apply_async(time.sleep, 5) for _ in client.ids]
    assert unreached_engines(client, within=1) == []
    assert not any(task.done() for task in busy)
    client.close()


def test_a_cluster_whose_engines_get_no_tasks_is_started_anew(cluster, monkeypatch):
    """As if tasks took longer than they may: twice in vain, and then in time."""
    clients, within = [], iter([-1.0, -1.0, 10.0])
    reached = unreached_engines
    monkeypatch.setattr(
        local_cluster,
        "unreached_engines",
        lambda client: clients.append(client) or reached(client, next(within)),
    )
    client = start_cluster_sync(cluster)
    assert len(clients) == 3 and client is clients[-1]
    assert client.load_balanced_view().apply_sync(abs, -1) == 1
    client.close()


def test_what_never_gets_tasks_is_an_error(cluster, monkeypatch):
    monkeypatch.setattr(
        local_cluster, "unreached_engines", lambda client: unreached_engines(client, -1.0)
    )
    with pytest.raises(ServiceError, match="hands its engines no tasks"):
        start_cluster_sync(cluster)
