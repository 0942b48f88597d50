"""Tell Django about the app."""

from collections.abc import Callable
from importlib import import_module

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

        conf.start_test_redis = _start_test_redis
        described = "moi_django.contrib.reloading.site_code"
        conf.conf.describe_code = lambda: import_module(described).describe_code()
        conf.companions.append(_start_event_readers)


def _start_event_readers() -> Callable[[], object]:
    from moi_django.contrib.events.reader import start_readers

    return start_readers()


def _start_test_redis() -> str:
    from moi_django.contrib.services.embedded_redis import start_for_tests
    from moi_django.exceptions import NotRunning, ServiceError

    try:
        return start_for_tests()
    except ServiceError as error:
        raise NotRunning(f"moi keeps the jobs of tests in a Redis of their own. {error}") from error
