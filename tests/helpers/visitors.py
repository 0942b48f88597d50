"""Every kind of visitor, and a job that is not everybody's."""

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser, Permission

from moi_django import Group
from tests.helpers.records import job_in

VISITORS = {
    "anonymous": None,
    # Not logged in either, on a site that gives such visitors jobs of their own.
    "guest": None,
    "owner": (),
    "other": (),
    "viewer": ("view_jobs",),
    "operator": ("view_jobs", "change_jobs"),
    "changer": ("change_jobs",),
}


def make(name):
    if VISITORS[name] is None:
        return AnonymousUser()
    user = get_user_model().objects.create_user(name)
    user.user_permissions.set(Permission.objects.filter(codename__in=VISITORS[name]))
    return get_user_model().objects.get(pk=user.pk)


@pytest.fixture
def owned(moi, store):
    """A group of the owner, with a job in it."""
    owner = make("owner")
    group = Group.create(owner, "secret group")
    return owner, group, job_in(store, group, "secret job")


@pytest.fixture
def kind(request):
    return request.param


@pytest.fixture
def visitor(kind, owned, moi):
    if kind == "guest":
        moi["ANONYMOUS_USER"] = "guest"
    return owned[0] if kind == "owner" else make(kind)
