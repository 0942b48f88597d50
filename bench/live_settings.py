"""A site as the page on installing has it: that of the tests, without what is optional."""

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS as TESTED

INSTALLED_APPS = [app for app in TESTED if not app.startswith("moi_django.contrib.")]
