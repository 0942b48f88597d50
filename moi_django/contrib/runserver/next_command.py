"""Find the `runserver` that a site would have without ours, to add to it."""

from importlib import import_module
from typing import Any

from django.apps import apps
from django.core.management.commands.runserver import Command
from django.core.servers.basehttp import WSGIServer

APP = "moi_django.contrib.runserver"


def find_next_command() -> Any:
    """Return the class of the first one in the apps after ours that serves WSGI, or Django's."""
    names = [config.name for config in apps.get_app_configs()]
    for name in names[names.index(APP) + 1 :] if APP in names else ():
        module = f"{name}.management.commands.runserver"
        try:
            command = import_module(module).Command
        except ModuleNotFoundError as error:
            if not module.startswith(error.name or module):
                raise  # it is there, and lacks something else
        else:
            if serves_wsgi(command):
                return command
    return Command


def serves_wsgi(command: Any) -> bool:
    """Tell whether a `runserver` speaks no websocket; of others than Django's, who knows."""
    server = getattr(command, "server_cls", None)
    return isinstance(server, type) and issubclass(server, WSGIServer)
