"""Tests that need no service."""

from tests.helpers.notebook import cell  # noqa: F401 - a fixture
