"""The way from the top of a tree down to a job or a group, as far as a user may see it."""

from dataclasses import dataclass
from typing import Any

from django.shortcuts import resolve_url
from django.urls import reverse
from django.utils.translation import pgettext

from moi_django import authorization, owners
from moi_django.conf import conf
from moi_django.models import Info
from moi_django.pages.page_urls import page_url
from moi_django.site_store import get_store


@dataclass(frozen=True, slots=True)
class Crumb:
    """A group on that way."""

    name: str
    # Address of its page, if it has one.
    url: str | None = None


def crumbs_of(user: Any, info: Info) -> list[Crumb]:
    """Return the groups above a job or group, those from the root down that a user may see."""
    found = get_store().jobs.get_many(info.ancestors)
    groups = [each for each in found if each and authorization.allowed(user, "view", each)]
    return [crumb_of(user, each) for each in groups]


def crumb_of(user: Any, group: Info) -> Crumb:
    """Return a group as a user calls it: a root group is the user's own list, or its owner's.

    Users have further ones when they have taken jobs over, which have names.
    """
    if not group.is_root:
        return Crumb(group.name, page_url(group))
    if group.id == owners.find_root_id(user):
        return Crumb(pgettext("moi", "Your jobs"), own_list_url())
    is_own = get_store().users.lookup(group.id) == owners.find_field(user)
    name = group.name if is_own else owners.display_names([group.id])[group.id]
    return Crumb(name, page_url(group))


def own_list_url() -> str:
    """Return where users look at their own jobs: on a page of the site, else on ours."""
    return resolve_url(conf.LIST_URL) if conf.LIST_URL else reverse("moi:jobs")
