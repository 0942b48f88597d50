"""Tests with a real Redis, and servers where they need one."""

from tests.helpers.groups import sweep  # noqa: F401 - a fixture
from tests.helpers.visitors import kind, owned, visitor  # noqa: F401 - fixtures
