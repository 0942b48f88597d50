"""Tell Django about the app."""

from django.apps import AppConfig


class MoiConfig(AppConfig):
    """The app as INSTALLED_APPS has it."""

    name = "moi_django"
    verbose_name = "moi"

    def ready(self) -> None:
        """Load what Django looks for: permissions and system checks."""
        from moi_django.contrib.checks import deployment, settings, site  # noqa: F401
        from moi_django.contrib.panel import permissions  # noqa: F401
        from moi_django.contrib.schedules import checks  # noqa: F401
