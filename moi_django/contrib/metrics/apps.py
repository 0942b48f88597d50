"""Tell Django about the app."""

from collections.abc import Sequence

from django.apps import AppConfig

from moi_django.contrib.events import JobEvent, register


class MetricsConfig(AppConfig):
    """The app as INSTALLED_APPS has it."""

    name = "moi_django.contrib.metrics"
    label = "moi_metrics"
    verbose_name = "moi metrics"

    def ready(self) -> None:
        """Count what becomes of jobs from now on."""
        from moi_django.contrib.metrics import checks  # noqa: F401

        register("metrics", _count_events, batch=500)


def _count_events(events: Sequence[JobEvent]) -> None:
    # What reads no events need not import Redis for them.
    from moi_django.contrib.metrics.event_counts import count_events

    count_events(events)
