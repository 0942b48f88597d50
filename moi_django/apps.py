"""Tell Django about the app."""

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

from django.apps import AppConfig

from moi_django import conf
from moi_django.engine import current

# What optional parts do for the core, by its name in `conf` and there.
PARTS = {
    "get_attachment_storage": "attachments.site_storage",
    "find_standing": "standings.lookup",
    "describe_place": "standings.place_text",
    "translate_status": "standings.waiting_text",
    "translated_waits": "standings.waiting_text",
    "parse_filter": "job_filters.page_filter",
    "describe_code": "reloading.site_code",
    "describe_calls": "job_pages.call_text",
    "describe_proof": "doctor.engine_proof",
}


class MoiConfig(AppConfig):
    """The app as INSTALLED_APPS has it."""

    name = "moi_django"
    verbose_name = "moi"

    def ready(self) -> None:
        """Load what Django looks for: permissions and system checks."""
        from moi_django.contrib.caller.takeover import as_caller, with_caller
        from moi_django.contrib.checks import deployment, settings, site  # noqa: F401
        from moi_django.contrib.clusters import checks as cluster_checks  # noqa: F401
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
            _import_part("testing.isolation").isolate_children()
        for name, part in PARTS.items():
            setattr(conf.conf, name, _call_late(part, name))


def _call_late(part: str, name: str) -> Callable[..., Any]:
    """Return what calls a function of an optional part, which is imported when it is called."""
    return lambda *args: getattr(_import_part(part), name)(*args)


def _import_part(name: str) -> Any:
    return import_module(f"moi_django.contrib.{name}")


def _start_event_readers() -> Callable[[], object]:
    from moi_django.contrib.events.reader import start_readers

    return start_readers()
