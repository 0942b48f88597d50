"""Tell Django about the app."""

from collections.abc import Sequence

from django.apps import AppConfig

from moi_django.contrib.events import JobEvent, register


class NotifyConfig(AppConfig):
    """The app as INSTALLED_APPS has it."""

    name = "moi_django.contrib.notify"
    label = "moi_notify"
    verbose_name = "moi notifications"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Hear of the end of jobs from now on."""
        from moi_django.contrib.notify import checks  # noqa: F401

        register("notify", _collect, tick=_work)


# What these need costs time to import, and is needed only where events are read.


def _collect(events: Sequence[JobEvent]) -> None:
    from moi_django.contrib.notify.collector import collect

    collect(events)


def _work() -> None:
    from moi_django.contrib.notify.outbox import work

    work()
