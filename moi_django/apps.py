"""Tell Django about the app."""

import sys
from collections.abc import Callable
from importlib import import_module

from django.apps import AppConfig

from moi_django import conf
from moi_django.engine import current


class MoiConfig(AppConfig):
    """The app as INSTALLED_APPS has it."""

    name = "moi_django"
    verbose_name = "moi"

    def ready(self) -> None:
        """Load what Django looks for: permissions and system checks."""
        from moi_django.contrib.caller.takeover import as_caller, with_caller
        from moi_django.contrib.checks import deployment, settings, site  # noqa: F401
        from moi_django.contrib.panel import permissions  # noqa: F401
        from moi_django.contrib.schedules import checks  # noqa: F401
        from moi_django.contrib.tracing.submit_spans import begin_sending

        conf.conf.begin_sending = begin_sending
        conf.companions.add(_start_event_readers)
        conf.conf.with_caller = with_caller
        current.surroundings = [as_caller]
        if "sentry_sdk" in sys.modules:
            from moi_django.contrib.sentry.reports import report_to_sentry

            current.surroundings = [as_caller, report_to_sentry]
        if conf.conf.is_isolated:
            import_module("moi_django.contrib.testing.isolation").isolate_children()
        described = "moi_django.contrib.reloading.site_code"
        conf.conf.describe_code = lambda: import_module(described).describe_code()


def _start_event_readers() -> Callable[[], object]:
    from moi_django.contrib.events.reader import start_readers

    return start_readers()
