"""Tests with a real Redis, and servers where they need one."""

import pytest
from django.contrib.auth import get_user_model

from tests.helpers.groups import job, sweep  # noqa: F401 - fixtures
from tests.helpers.visitors import kind, owned, visitor  # noqa: F401 - fixtures


@pytest.fixture
def ada(moi):
    """A user of the site."""
    return get_user_model().objects.create_user("ada")
