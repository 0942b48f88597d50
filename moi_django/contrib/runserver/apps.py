"""Tell Django about the app, which has nothing but a command."""

from django.apps import AppConfig


class RunserverConfig(AppConfig):
    """The app as INSTALLED_APPS has it."""

    name = "moi_django.contrib.runserver"
    label = "moi_runserver"
    verbose_name = "runserver of moi"
