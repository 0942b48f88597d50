"""Tests with real engines, or with all services."""

import pytest

from moi_django.cluster import connections
from moi_django.services.local_cluster import connection_file as connection_file_in
from moi_django.services.local_cluster import make_local_cluster
from tests.helpers.clusters import start_cluster_sync
from tests.helpers.notebook import cell  # noqa: F401 - a fixture
from tests.helpers.processes import environment


@pytest.fixture(scope="session")
def single_engine_file(tmp_path_factory, django_db_setup):
    """A cluster with one engine, which has the site's Django and sees the tests' database."""
    directory = tmp_path_factory.mktemp("single")
    cluster = make_local_cluster(1, directory, environment())
    start_cluster_sync(cluster).close()
    yield str(connection_file_in(directory))
    cluster.stop_cluster_sync()


@pytest.fixture
def engine(moi, single_engine_file, db):
    """Make a cluster with one engine the default context: what runs there runs in turn."""
    moi["CONTEXTS"] = {"default": {"connection_file": single_engine_file}}
    yield single_engine_file
    connections.close_connections()
