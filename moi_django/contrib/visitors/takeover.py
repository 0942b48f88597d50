"""Let the jobs of a visitor be those of the user who has logged in."""

from django.http import HttpRequest
from django.utils.translation import gettext

from moi_django import owners
from moi_django.contrib.visitors.visitor import SESSION_KEY, Visitor
from moi_django.exceptions import InvalidJob
from moi_django.jobs.api import Group
from moi_django.models import Info
from moi_django.site_store import get_store
from moi_django.validation import text_of


def take_over_jobs(request: HttpRequest) -> Group | None:
    """Let what was submitted in a session before its login belong to the user; return its group.

    The group stands in the list of the user; jobs that run go on. None when there is none. Whoever
    else has the session, or had it before the login, has these jobs no more.
    Raises InvalidJob when nobody is logged in.
    """
    if request.user.is_anonymous:
        raise InvalidJob("Only who is logged in can take over jobs: call it after the login.")
    field = Visitor(request.session).moi_field()
    request.session.pop(SESSION_KEY, None)
    id = _hand_over(field, owners.user_field(request.user)) if field else None
    if id is None or not get_store().tree.member_count(id):
        return None
    name = gettext("Before you logged in")
    group = Group(get_store().jobs.change(id, lambda info: _renamed(info, name)))
    Group.of(request.user).add(group)
    return group


def _hand_over(old: str, new: str) -> str | None:
    """Let the root group of a visitor be a user's besides the user's own; return its id."""
    connection = get_store().connection
    keys, args = {"users": connection.keys.users}, {"old": old, "new": new}
    id = connection.run_script("hand_over", keys, args)
    return text_of(id) if id else None


def _renamed(info: Info, name: str) -> Info | None:
    return info.changed(name=name) if info.name != name else None
