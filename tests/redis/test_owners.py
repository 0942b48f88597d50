"""Whose a job is, and who may see and change it."""

import uuid

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser, Permission

from moi_django import Group, owners
from moi_django.authorization import allowed
from moi_django.contrib.monitoring import owner_names
from moi_django.exceptions import GroupNotFound, InvalidJob
from tests.helpers.names import ODD_NAMES
from tests.helpers.records import job_in

pytestmark = pytest.mark.django_db


def test_a_user_and_the_username_are_the_same_owner(ada):
    assert owners.group_id_of(ada) == owners.group_id_of("ada") == owner_names.find_group_id("ada")


def test_a_rename_keeps_the_jobs_and_the_old_name_gives_nobody_access(ada):
    group = owners.group_id_of(ada)
    ada.username = "countess"
    ada.save()
    assert owner_names.find_group_id("countess") == group
    assert owner_names.find_group_id("ada") is None
    heir = get_user_model().objects.create_user("ada")
    assert owners.group_id_of(heir) != group
    assert owners.group_id_of("ada") == owners.group_id_of(heir)
    assert owner_names.group_ids_by_name() == {"countess": group, "ada": owners.group_id_of(heir)}


def test_a_user_who_takes_the_name_of_a_nobody_does_not_inherit(moi):
    before = owners.group_id_of("example")
    user = get_user_model().objects.create_user("example")
    assert owner_names.find_group_id("example") is None
    assert owner_names.group_ids_by_name() == {"name:example": before}
    group = owners.group_id_of(user)
    assert group != before
    assert owner_names.find_group_id("example") == group
    assert owner_names.group_ids_by_name() == {"name:example": before, "example": group}


def assert_all_is_found_that_is_listed(number):
    listed = owner_names.group_ids_by_name()
    assert {key: owner_names.find_group_id(key) for key in listed} == listed
    assert len(set(listed.values())) == number


def test_every_owner_is_listed_and_found_as_listed(ada):
    gone = get_user_model().objects.create_user("gone")
    odd = get_user_model().objects.create_user("no-user")
    field = f"user:{gone.pk}"
    groups = {
        "ada": owners.group_id_of(ada),
        field: owners.group_id_of(gone),
        "no-user": owners.group_id_of("no-user"),
        f"user:{odd.pk}": owners.group_id_of(odd),
        "somebody": owners.group_id_of("somebody"),
    }
    gone.delete()
    assert owner_names.group_ids_by_name() == groups
    assert_all_is_found_that_is_listed(5)
    # Whatever a user of the site is called.
    owners.group_id_of(get_user_model().objects.create_user(field))
    get_user_model().objects.create_user("somebody")
    assert owner_names.group_ids_by_name().keys() - groups.keys() == {
        f"name:{field}",
        "name:somebody",
    }
    assert_all_is_found_that_is_listed(6)


def test_no_user_is_never_a_user_of_the_site(moi):
    user = get_user_model().objects.create_user("no-user")
    assert owners.group_id_of("no-user") != owners.group_id_of(user)


def test_a_group_is_given_as_it_is_by_id_or_by_its_info(ada):
    group = Group.create(ada, "a sweep")
    assert {owners.group_id_of(given) for given in (group, group.id, group.info)} == {group.id}
    assert owner_names.find_group_id(group.id) == group.id
    job = job_in(owners.get_store(), group)
    with pytest.raises(GroupNotFound):
        owners.group_id_of(job.id)
    with pytest.raises(GroupNotFound):
        owners.group_id_of(str(uuid.uuid4()))


def test_a_username_in_the_form_of_an_id_must_not_be_guessed_at(ada):
    name = owners.group_id_of(ada)
    get_user_model().objects.create_user(name)
    with pytest.raises(InvalidJob, match="give the user itself"):
        owners.group_id_of(name)


@pytest.mark.parametrize("owner", ODD_NAMES)
def test_a_name_of_any_script_owns_jobs(moi, owner):
    id = owners.group_id_of(owner)
    assert owner_names.group_ids_by_name() == {owner: id}
    assert owner_names.find_group_id(owner) == id


def test_a_name_that_cannot_own_a_job_says_why(moi):
    with pytest.raises(InvalidJob, match=r"character 2 is U\+202E, RIGHT-TO-LEFT"):
        owners.group_id_of("a\N{RIGHT-TO-LEFT OVERRIDE}b")


@pytest.mark.parametrize("owner", ["", "user:1", "name:ada", "a\nb", "x" * 201, 7, None, b"ada"])
def test_what_cannot_own_a_job_is_refused(moi, owner):
    with pytest.raises(InvalidJob):
        owners.group_id_of(owner)


def test_who_is_not_logged_in_or_not_saved_owns_nothing(moi):
    for user in (AnonymousUser(), get_user_model()(username="unsaved")):
        with pytest.raises(InvalidJob):
            owners.group_id_of(user)
    assert owners.find_root_id(AnonymousUser()) is None


@pytest.fixture
def bob(moi):
    return get_user_model().objects.create_user("bob")


def test_the_owner_may_and_others_may_not(ada, bob, store):
    job = job_in(store, Group.of(ada))
    for action in ("view", "change"):
        assert allowed(ada, action, job)
        assert not allowed(bob, action, job)
        assert not allowed(AnonymousUser(), action, job)


def test_the_permissions_allow_what_they_say(ada, bob, store):
    job = job_in(store, Group.of(ada))
    bob.user_permissions.add(Permission.objects.get(codename="view_jobs"))
    bob = get_user_model().objects.get(pk=bob.pk)
    assert allowed(bob, "view", job)
    assert not allowed(bob, "change", job)


def test_a_visitor_in_my_group_is_still_another_users(ada, bob, store):
    group = Group.create(bob, "mine")
    job = job_in(store, Group.of(ada))
    group.add(job.id)
    assert not allowed(bob, "view", store.jobs.get(job.id))


def decide(user, action, info):
    return {"bob": True, "ada": False}.get(user.username)


def test_the_site_may_decide(ada, bob, store, moi):
    moi["AUTHORIZE"] = f"{__name__}.decide"
    job = job_in(store, Group.of(ada))
    eve = get_user_model().objects.create_user("eve")
    assert [allowed(user, "view", job) for user in (ada, bob, eve)] == [False, True, False]
    mine = job_in(store, Group.of(eve))
    assert allowed(eve, "view", mine)
