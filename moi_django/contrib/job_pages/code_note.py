"""What is to be said of the code that a job runs on, when that is not what the site has."""

from django.utils.translation import gettext as _

from moi_django.conf import conf
from moi_django.models import Info, State
from moi_django.site_store import get_store

RESTART = "manage.py moi engines restart"


def describe_code(info: Info) -> str:
    """Return a sentence on the code of the engine of a job; empty when there is nothing to say."""
    is_running, code = info.state is State.RUNNING, info.engine_code
    if is_running and info.engine and (report := get_store().engines.reports().get(info.engine)):
        code = report.metrics.code
    if not code or not info.code or code == info.code:
        return ""
    if code == getattr(conf.describe_code(), "digest", None):
        return _(
            "The code of the site has changed since this job was submitted; its engine has the "
            "new code."
        )
    if is_running:
        text = _(
            "This engine runs other code than the site. Let it load that of the site with "
            "%(command)s; this job goes on with what it has."
        )
    else:
        text = _(
            "The engine ran other code than the site. Let it load that of the site with "
            "%(command)s, and retry this job if need be."
        )
    return text % {"command": RESTART}
