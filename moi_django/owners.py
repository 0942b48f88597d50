"""Tell whose a job is: users of the site, names that are no user, and groups.

The root group of a user of the site is kept under the user's primary key: it survives a new
username and is not inherited by the next one who takes the old name.
"""

from collections.abc import Callable, Collection
from functools import lru_cache
from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db import DatabaseError

from moi_django.conf import NO_USER, conf
from moi_django.exceptions import GroupNotFound, InvalidJob
from moi_django.models import GROUP, Info, now
from moi_django.site_store import get_store
from moi_django.store import Store
from moi_django.validation import is_uuid, unfit_character

# What a user of the site is called in the map of users, before the primary key; and how any other
# name is called that a user of the site has, too; and visitors with jobs of their own.
USER, NAME, VISITOR = "user:", "name:", "visitor:"


def group_of(owner: Any, seen: bool = False, makes: bool = True) -> Info:
    """Return the group in which an owner's jobs are, made when it is the owner's first.

    `owner` is a user of the site, a username, a name that is no user of the site, the id of a
    group, or whatever has such an id in `id` and is a group. With `seen` it may be as this process
    has seen it last, and have expired. It `makes` an owner of a visitor who has been none so far.
    Raises InvalidJob when it is none of these, GroupNotFound when there is no such group.
    """
    enrol = _seen_root if seen and not getattr(owner, "is_anonymous", False) else _enrol
    if isinstance(owner, str):
        return _group_of_text(owner, enrol)
    if hasattr(owner, "is_authenticated"):
        user = user_field(owner, makes)
        return enrol(get_store(), user, owner.get_username() or user)
    if isinstance(owner, Info) or hasattr(owner, "info"):
        info = getattr(owner, "info", owner)
        return info if seen and info.is_group else existing_group(owner.id)
    raise InvalidJob(
        f"{owner!r} cannot own a job: give a user, a username, a Group or the id of a group."
    )


def group_id_of(owner: Any) -> str:
    """Return the id of what `group_of` returns, for who only looks at it."""
    return group_of(owner, makes=False).id


def find_field(user: Any) -> str | None:
    """Return what `user_field` does, or None for who may have no jobs."""
    try:
        return user_field(user)
    except InvalidJob:
        return None


def find_root_id(owner: Any) -> str | None:
    """Return the id of a user's root group, or None when the user has none yet or may have none."""
    field = find_field(owner)
    return get_store().users.lookup(field) if field else None


def user_field(user: Any, makes: bool = False) -> str:
    """Return under what name the map of users keeps a user of the site.

    Raises InvalidJob for a visitor who is not logged in and has no jobs, unless
    MOI["ANONYMOUS_USER"] is set or the visitor `makes` some now and may.
    """
    if getattr(user, "is_anonymous", False):
        if field := getattr(user, "moi_field", lambda makes: None)(makes) or conf.ANONYMOUS_USER:
            return str(field)
        raise InvalidJob(
            "A visitor who is not logged in owns no jobs: require a login in your view, or add "
            "VisitorMiddleware of moi_django.contrib.visitors, or set MOI['ANONYMOUS_USER']."
        )
    if user.pk is None:
        raise InvalidJob(f"The user {user!r} cannot own a job before it is saved.")
    return f"{USER}{user.pk}"


def display_names(groups: Collection[str]) -> dict[str, str]:
    """Return what people call the owners of these root groups; the id where nobody knows better."""
    found = get_store().users.lookup_many(list(groups))
    usernames = usernames_of([name for name in found.values() if name.startswith(USER)])
    names = {group: usernames.get(name, name) for group, name in found.items()}
    return {group: names.get(group, group) for group in groups}


def users_by_group(groups: Collection[str]) -> dict[str, Any]:
    """Return the users of the site among the owners of these root groups."""
    found = get_store().users.lookup_many(list(groups))
    users = _users([name for name in found.values() if name.startswith(USER)])
    return {group: users[name] for group, name in found.items() if name in users}


def usernames_of(fields: list[str]) -> dict[str, str]:
    """Return what users of the site are called, by their field in the map of users."""
    usernames = {field: user.get_username() for field, user in _users(fields).items()}
    return {field: name for field, name in usernames.items() if name != NO_USER}


def _users(fields: list[str]) -> dict[str, Any]:
    if not fields or not apps.is_installed("django.contrib.auth"):
        return {}
    model = get_user_model()
    keys = [name.removeprefix(USER) for name in fields]
    users = model._default_manager.filter(pk__in=[key for key in keys if _is_key(model, key)])
    return {user_field(user): user for user in users}


def _is_key(model: Any, key: str) -> bool:
    """Tell whether users have such keys: they had others when a site had another user model."""
    try:
        model._meta.pk.clean(key, None)
    except ValidationError:
        return False
    return True


def user_named(name: str) -> Any:
    """Return the user of the site who has this username, or None.

    Raises InvalidJob when the database cannot be asked.
    """
    if name == NO_USER or not apps.is_installed("django.contrib.auth"):
        return None
    try:
        return get_user_model()._default_manager.get_by_natural_key(name)
    except ObjectDoesNotExist:
        return None
    except DatabaseError as error:
        raise InvalidJob(
            f"Cannot look up the user {name!r} in the database: {error}. Has it been migrated?"
        ) from error


def _group_of_text(owner: str, enrol: Callable[[Store, str, str], Info]) -> Info:
    if is_uuid(owner):
        if user_named(owner) is not None:
            raise InvalidJob(
                f"{owner!r} is both a username and the form of a group's id: give the user itself."
            )
        return existing_group(owner)
    user = user_named(owner)
    if user is not None:
        return enrol(get_store(), user_field(user), owner)
    unfit = unfit_character(owner) or (None if owner.strip() else "it is blank")
    if unfit or owner.startswith((USER, NAME, VISITOR)) or not 0 < len(owner) <= 200:
        raise InvalidJob(
            f"{owner[:50]!r} cannot own a job{(unfit and f', {unfit}') or ''}: a name has 1 to 200 "
            f"printable characters and does not start with {USER!r}, {NAME!r} or {VISITOR!r}."
        )
    return enrol(get_store(), owner, owner)


def existing_group(id: str) -> Info:
    """Return a group; raises GroupNotFound when there is none."""
    info = get_store().jobs.get(id)
    if info is None or not info.is_group:
        raise GroupNotFound.for_id(id)
    return info


def _enrol(store: Store, user: str, name: str) -> Info:
    def root(id: str) -> Info:
        return Info(
            id=id, name=name, type=GROUP, pubsub=f"{id}:pubsub", path=id, date_created=now()
        )

    return store.users.enrol(user, root)


# For who submits many jobs; the id of a root group is its owner's for good.
_seen_root = lru_cache(maxsize=10_000)(_enrol)
