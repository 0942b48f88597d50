"""Tests with real engines, or with all services."""

from tests.helpers.notebook import cell  # noqa: F401 - a fixture
