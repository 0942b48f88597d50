"""Tests that need no service."""

import os

import pytest

from moi_django.engine.fork_client import ForkServer
from tests.helpers.notebook import cell  # noqa: F401 - a fixture


@pytest.fixture(scope="session")
def fork_server():
    """A server of job processes without Django, which has imported what the tests run."""
    settings = os.environ.pop("DJANGO_SETTINGS_MODULE", None)
    server = ForkServer(["tests.helpers.odd_jobs"])
    try:
        server.take().close()
    finally:
        if settings is not None:
            os.environ["DJANGO_SETTINGS_MODULE"] = settings
    yield server
    server.close()
