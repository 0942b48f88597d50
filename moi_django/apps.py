"""Tell Django about the app."""

from collections.abc import Callable

from django.apps import AppConfig

from moi_django import conf


class MoiConfig(AppConfig):
    """The app as INSTALLED_APPS has it."""

    name = "moi_django"
    verbose_name = "moi"

    def ready(self) -> None:
        """Load what Django looks for: permissions and system checks."""
        from moi_django.contrib.checks import deployment, settings, site  # noqa: F401
        from moi_django.contrib.panel import permissions  # noqa: F401
        from moi_django.contrib.schedules import checks  # noqa: F401

        conf.companions.append(_start_event_readers)


def _start_event_readers() -> Callable[[], object]:
    from moi_django.contrib.events.reader import start_readers

    return start_readers()
