"""Tell Django about the app, and let it hear of jobs."""

from collections.abc import Sequence

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from moi_django.contrib.events import JobEvent, register


class HistoryConfig(AppConfig):
    """The app as INSTALLED_APPS has it."""

    name = "moi_django.contrib.history"
    label = "moi_history"
    verbose_name = _("History of jobs")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Hear of the end of jobs."""
        register("history", _record_events)


def _record_events(events: Sequence[JobEvent]) -> None:
    # What writes them takes time to import, and most commands need it not.
    from moi_django.contrib.history.recorder import record_events

    record_events(events)
