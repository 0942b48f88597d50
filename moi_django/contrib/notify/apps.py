"""Tell Django about the app."""

from django.apps import AppConfig


class NotifyConfig(AppConfig):
    """The app as INSTALLED_APPS has it."""

    name = "moi_django.contrib.notify"
    label = "moi_notify"
    verbose_name = "moi notifications"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Hear of the end of jobs from now on."""
        from moi_django.contrib.events import register
        from moi_django.contrib.notify import checks, collector, outbox  # noqa: F401

        register("notify", collector.collect, tick=outbox.work)
