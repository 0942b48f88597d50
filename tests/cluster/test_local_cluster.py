"""A local cluster counts as started when each of its engines gets tasks from the scheduler."""

import os

import psutil
import pytest

from moi_django.exceptions import ServiceError
from moi_django.services import local_cluster
from moi_django.services.local_cluster import make_local_cluster, unreached_engines
from tests.helpers.clusters import start_cluster_sync


@pytest.fixture
def cluster(tmp_path):
    cluster = make_local_cluster(2, tmp_path, {})
    yield cluster
    cluster.stop_cluster_sync()


def test_an_engine_that_gets_no_task_is_noticed(cluster):
    client = start_cluster_sync(cluster)
    assert unreached_engines(client) == []
    pid = client[client.ids[1]].apply_sync(os.getpid)
    psutil.Process(pid).suspend()
    try:
        assert unreached_engines(client, within=0.5) == [client.ids[1]]
    finally:
        psutil.Process(pid).resume()
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
