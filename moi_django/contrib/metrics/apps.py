"""Tell Django about the app."""

from django.apps import AppConfig


class MetricsConfig(AppConfig):
    """The app as INSTALLED_APPS has it."""

    name = "moi_django.contrib.metrics"
    label = "moi_metrics"
    verbose_name = "moi metrics"

    def ready(self) -> None:
        """Count what becomes of jobs from now on."""
        from moi_django.contrib.events import register
        from moi_django.contrib.metrics import checks  # noqa: F401
        from moi_django.contrib.metrics.event_counts import count_events

        register("metrics", count_events, batch=500)
