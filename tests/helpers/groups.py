"""Jobs in groups, and where the pages of groups are."""

import pytest
from django.urls import reverse

from moi_django import Group
from moi_django.models import State
from tests.helpers.records import finish, job_in


@pytest.fixture
def job(ada, store):
    return job_in(store, Group.create(ada, "a sweep"), "a job")


@pytest.fixture
def sweep(ada, store):
    """A group in a group, with a job that waits, one that failed, and one that succeeded."""
    group = Group.create(Group.create(ada, "the lot"), "a sweep")
    for state in (None, State.FAILED, State.SUCCESS):
        job = job_in(store, group, f"job {state}")
        if state:
            finish(store, job, state)
    return group


def address(group, name="group"):
    return reverse(f"moi:{name}", args=[group.id])
