"""Tests with real engines."""

import pytest

from moi_django.cluster import connections, leases
from tests.helpers.clusters import running_cluster
from tests.helpers.notebook import cell  # noqa: F401 - a fixture
from tests.helpers.processes import environment


@pytest.fixture(scope="session")
def single_engine_file(tmp_path_factory, django_db_setup):
    """A cluster with one engine, which has the site's Django and sees the tests' database."""
    with running_cluster(1, tmp_path_factory.mktemp("single"), environment()) as file:
        yield file


@pytest.fixture
def engine(moi, single_engine_file, db):
    """Make a cluster with one engine the default context: what runs there runs in turn."""
    moi["CONTEXTS"] = {"default": {"connection_file": single_engine_file}}
    moi["CLUSTER_TIMEOUT"] = 10.0  # of a controller on a busy machine
    yield single_engine_file
    connections.close_connections()


@pytest.fixture
def short_lease(moi, monkeypatch):
    """Let a lost engine be noticed soon; a pause counts for less than a lease, as at a site."""
    moi["LEASE"] = 4.0
    monkeypatch.setattr(leases, "MAX_GAP", 1.0)
