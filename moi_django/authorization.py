"""Decide who may see and who may change a job or a group: asked before every such act."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

from django.utils.module_loading import import_string

from moi_django import owners
from moi_django.conf import conf
from moi_django.models import Info
from moi_django.site_store import get_store

Action = Literal["view", "change"]
PERMISSIONS = {"view": "moi_django.view_jobs", "change": "moi_django.change_jobs"}


def allowed(user: Any, action: Action, info: Info) -> bool:
    """Tell whether a user may view or change (remove, cancel, retry) a job or a group.

    MOI["AUTHORIZE"] decides when it returns True or False. Otherwise users may do so in their own
    tree, and everywhere with the permission `view_jobs` or `change_jobs`.
    """
    return allowed_each(user, [action], info)[0]


def allowed_each(user: Any, actions: Sequence[Action], info: Info) -> list[bool]:
    """Tell of each of some actions what `allowed` does, at the cost of one."""
    decided = [_hook()(user, action, info) for action in actions]
    field = owners.find_field(user) if None in decided else None
    is_own = field is not None and get_store().users.lookup(info.owner) == field
    return [
        is_own or user.has_perm(PERMISSIONS[action]) if it is None else bool(it)
        for action, it in zip(actions, decided, strict=True)
    ]


def sees_all(user: Any) -> bool:
    """Tell whether a user may see the jobs of everybody."""
    return bool(user.has_perm(PERMISSIONS["view"]))


def changes_all(user: Any) -> bool:
    """Tell whether a user may see and change the jobs of everybody."""
    return sees_all(user) and bool(user.has_perm(PERMISSIONS["change"]))


def _hook() -> Callable[[Any, str, Info], bool | None]:
    given = conf.AUTHORIZE
    if given is None:
        return lambda user, action, info: None
    return import_string(given) if isinstance(given, str) else given
