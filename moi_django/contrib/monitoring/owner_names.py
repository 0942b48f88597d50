"""Whose jobs there are, by the names that operators type and read."""

from django.apps import apps
from django.contrib.auth import get_user_model

from moi_django import owners
from moi_django.conf import NO_USER
from moi_django.site_store import get_store
from moi_django.validation import is_uuid


def find_group_id(key: str) -> str | None:
    """Return the group id of what `group_ids_by_name` lists, or of a UUID; None if unknown.

    A UUID is that of an owner's root group or of any other group.
    """
    if is_uuid(key):
        info = get_store().jobs.get(key)
        return key if (info and info.is_group) or get_store().users.lookup(key) else None
    user = owners.user_named(key)
    # A user of the site inherits nothing from whoever had the name before.
    return get_store().users.lookup(
        owners.user_field(user) if user is not None else key.removeprefix(owners.NAME)
    )


def group_ids_by_name() -> dict[str, str]:
    """Return the root group ids of all owners that have one, by what people call them.

    A user of the site is listed by username, or as user:<primary key> once that is gone; any other
    owner by name, or as name:<name> when a user of the site is called so.
    """
    found = {name: id for name, id in get_store().users.to_dict().items() if is_uuid(id)}
    usernames = owners.usernames_of([name for name in found if name.startswith(owners.USER)])
    taken = _names_of_users([name for name in found if name not in usernames])
    return {
        usernames.get(name, f"{owners.NAME}{name}" if name in taken else name): id
        for name, id in found.items()
    }


def _names_of_users(names: list[str]) -> set[str]:
    """Return which of these names users of the site have."""
    asked = [name for name in names if name != NO_USER]
    if not asked or not apps.is_installed("django.contrib.auth"):
        return set()
    model = get_user_model()
    users = model._default_manager.filter(**{f"{model.USERNAME_FIELD}__in": asked})
    return {user.get_username() for user in users}
