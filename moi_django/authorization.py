"""Decide who may see and who may change a job or a group: asked before every such act."""

from collections.abc import Callable
from typing import Any, Literal

from django.utils.module_loading import import_string

from moi_django import owners
from moi_django.conf import conf
from moi_django.models import Info

Action = Literal["view", "change"]
PERMISSIONS = {"view": "moi_django.view_jobs", "change": "moi_django.change_jobs"}


def allowed(user: Any, action: Action, info: Info) -> bool:
    """Tell whether a user may view or change (remove, cancel, retry) a job or a group.

    MOI["AUTHORIZE"] decides when it returns True or False. Otherwise users may do so in their own
    tree, and everywhere with the permission `view_jobs` or `change_jobs`.
    """
    decided = _hook()(user, action, info)
    if decided is not None:
        return bool(decided)
    return info.owner == owners.find_root_id(user) or user.has_perm(PERMISSIONS[action])


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
