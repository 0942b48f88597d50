"""Test cases for jobs, and what stands in their methods: each test begins with no jobs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from asgiref.sync import sync_to_async
from django.test import TestCase, TransactionTestCase

from moi_django.contrib.testing import immediate, job_files, private_redis, submissions


def clear_jobs() -> None:
    """Forget all jobs of the tests of this process."""
    private_redis.clear()
    job_files.clear()
    submissions.clear()


@contextmanager
def hold_jobs() -> Iterator[None]:
    """Let what is submitted in the block wait: `run_jobs` runs it, in the block or after it."""
    with immediate.holding():
        yield


def run_jobs() -> list[submissions.SubmittedJob]:
    """Run what was held, and what is to begin later; return what has ended by that."""
    before = {each.info.id for each in submissions.submitted() if each.info.finished}
    immediate.run_held()
    return [
        each
        for each in submissions.submitted()
        if each.info.finished and each.info.id not in before
    ]


async def arun_jobs() -> list[submissions.SubmittedJob]:
    """Do what `run_jobs` does without blocking the event loop."""
    return await sync_to_async(run_jobs)()


class JobAssertions:
    """What a test asks of its jobs."""

    submitted = staticmethod(submissions.submitted)
    assert_submitted = staticmethod(submissions.assert_submitted)
    hold_jobs = staticmethod(hold_jobs)
    run_jobs = staticmethod(run_jobs)
    arun_jobs = staticmethod(arun_jobs)


class MoiTestMixin(JobAssertions):
    """Lets each test of a case begin without jobs, and asserts about them."""

    def run(self, result: Any = None) -> Any:
        """Run one test."""
        clear_jobs()
        return super().run(result)  # type: ignore[misc] # of a test case

    def debug(self) -> None:
        """Run one test without collecting its errors."""
        clear_jobs()
        super().debug()  # type: ignore[misc] # of a test case


class MoiTestCase(MoiTestMixin, TestCase):
    """A TestCase for jobs: they are created where a test captures what a commit would do."""


class MoiTransactionTestCase(MoiTestMixin, TransactionTestCase):
    """A TransactionTestCase for jobs: they are created as on the site, at a commit."""
