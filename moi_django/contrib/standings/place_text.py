"""Where a waiting job stands in its queue, as a row of a page or a line in a terminal says it."""

import time
from datetime import UTC, datetime

from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext, gettext_lazy, ngettext_lazy, pgettext_lazy

from moi_django.contrib.standings.lookup import find_standing
from moi_django.contrib.standings.queue_order import Standing
from moi_django.models import Info, State, timestamp
from moi_django.presentation.formatting import round_duration
from moi_django.store.queue import Hold

_HOLDS = {
    Hold.PAUSED: pgettext_lazy("job", "paused"),
    Hold.OWNER: gettext_lazy("its owner runs as many as are allowed"),
    Hold.LIMIT: gettext_lazy("as many run as its limit allows"),
}
_STARTS = {
    "seconds": ngettext_lazy("starts in about %(n)d s", "starts in about %(n)d s", "n"),
    "minutes": ngettext_lazy("starts in about %(n)d min", "starts in about %(n)d min", "n"),
    "hours": ngettext_lazy("starts in about %(n)d h", "starts in about %(n)d h", "n"),
    "days": ngettext_lazy("starts in about %(n)d day", "starts in about %(n)d days", "n"),
}


def describe_place(info: Info) -> str:
    """Return where a job stands in its queue; empty unless it waits and that is known."""
    standing, begin = find_standing(info), timestamp(info.run_after)
    if standing is None:
        return ""
    if begin > time.time():
        return gettext("starts at %(time)s") % {"time": _local_time(begin)}
    if standing.hold and info.status != State.QUEUED.status:
        return ""  # it says so itself
    return describe_standing(standing)


def _local_time(seconds: float) -> str:
    """Return a time of the site's zone, with its date unless that is today's."""
    moment = localtime(datetime.fromtimestamp(seconds, UTC))
    is_today = moment.date() == localtime(datetime.now(UTC)).date()
    written = date_format(moment, "TIME_FORMAT" if is_today else "SHORT_DATETIME_FORMAT")
    return f"{written} {moment.tzname()}"


def describe_standing(standing: Standing) -> str:
    """Return a standing in words; what is held has no place."""
    if standing.hold or standing.position is None:
        return str(_HOLDS[standing.hold]) if standing.hold else ""
    place = gettext("number %(number)d in line") % {"number": standing.position}
    if standing.position == 1:
        place = gettext("next in line")
    if standing.starts_in is None:
        return place
    unit, n = round_duration(standing.starts_in)
    return gettext("%(place)s, %(start)s") % {"place": place, "start": _STARTS[unit] % {"n": n}}
