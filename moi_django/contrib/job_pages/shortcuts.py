"""What a view of the site begins with: a job or group that its user may see, or the answer 404."""

from typing import Any

from django.http import Http404

from moi_django.exceptions import GroupNotFound, JobNotFound
from moi_django.jobs import actions
from moi_django.jobs.api import Group, Job
from moi_django.models import Info


def get_job_or_404(user: Any, id: Any) -> Job:
    """Return a job; raise Http404 when it is gone or the user may not see it, alike for both."""
    return Job(_visible_info(user, id, is_group=False))


def get_group_or_404(user: Any, id: Any) -> Group:
    """Return a group; raise Http404 when it is gone or the user may not see it, alike for both."""
    return Group(_visible_info(user, id, is_group=True))


def _visible_info(user: Any, id: Any, is_group: bool) -> Info:
    info = actions.find_permitted(user, "view", str(id))
    if info is None or info.is_group is not is_group:
        error = GroupNotFound if is_group else JobNotFound
        raise Http404(str(error.for_id(str(id))))
    return info
