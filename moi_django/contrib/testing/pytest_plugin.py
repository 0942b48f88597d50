"""Fixtures for tests of jobs; what they need is imported when one of them is asked for."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from moi_django.contrib.testing.cases import JobAssertions
    from moi_django.contrib.testing.page import MoiPage


@pytest.fixture(autouse=True)
def _moi_without_jobs() -> None:
    """Let each test begin without jobs, where one before has had any."""
    if "moi_django.contrib.testing.private_redis" in sys.modules:
        from moi_django.contrib.testing.cases import clear_jobs

        clear_jobs()


@pytest.fixture
def moi_jobs(db: None) -> "JobAssertions":
    """What was submitted in this test: `submitted`, `assert_submitted`, `hold_jobs`, `run_jobs`."""
    from moi_django.contrib.testing.cases import JobAssertions

    return JobAssertions()


@pytest.fixture
def live_jobs(transactional_db: None) -> Iterator[None]:
    """Run the jobs of this test on real engines, which see what is committed."""
    from moi_django.contrib.testing.live_jobs import live_jobs

    with live_jobs():
        yield


@pytest.fixture
def moi_page(transactional_db: None) -> "type[MoiPage]":
    """Open pages: `async with moi_page(user) as page`."""
    from moi_django.contrib.testing.page import MoiPage

    return MoiPage
