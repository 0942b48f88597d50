"""Tell Django about the app, and let it hear of jobs."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class HistoryConfig(AppConfig):
    """The app as INSTALLED_APPS has it."""

    name = "moi_django.contrib.history"
    label = "moi_history"
    verbose_name = _("History of jobs")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Hear of the end of jobs."""
        from moi_django.contrib.events import register
        from moi_django.contrib.history.recorder import record_events

        register("history", record_events)
