"""Serve an ASGI application for development, as `runserver` serves a WSGI one.

This is the web server of `moi up`; its arguments are SOCKET APPLICATION READY then. SOCKET is the
number of a socket that listens. It is handed down because a port that is only looked up may be
another program's by the time it is used. READY is that of a pipe, in which it says that it serves.
"""

import os
import socket
import sys
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any

import django
from asgiref.compatibility import guarantee_single_callable
from django.apps import apps
from django.conf import settings
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.urls import get_resolver
from django.utils.module_loading import import_string

from moi_django.conf import conf
from moi_django.contrib.command_line.verb_base import not_installed
from moi_django.contrib.reloading.watcher import follow_changes
from moi_django.contrib.services.access_log import AccessLog

# The exit code of uvicorn when the application says that it cannot start.
NOT_STARTED = 3


def require_uvicorn() -> None:
    """Raise MoiError unless what serves is installed."""
    for name in ("uvicorn", "websockets"):
        if find_spec(name) is None:
            raise not_installed(ModuleNotFoundError(name=name), "embedded")


def load_code(name: str) -> Any:
    """Return an application, with the views loaded.

    Django loads these for the first request. By then they may have been changed to what cannot be
    loaded, and the site as it was would be gone.
    """
    if getattr(settings, "ROOT_URLCONF", None):
        _ = get_resolver().url_patterns
    return import_string(name)


def load_application(name: str, has_static: bool) -> Any:
    """Return an application with a log of what it is asked, with static files if wanted."""
    application = guarantee_single_callable(load_code(name))
    if has_static:
        application = ASGIStaticFilesHandler(application)
    return AccessLog(_ScriptPrefix(application))


class _ScriptPrefix:
    """Tell an application below FORCE_SCRIPT_NAME so, as its websocket routes want it."""

    def __init__(self, application: Any) -> None:
        self._application = application
        self._prefix = (settings.FORCE_SCRIPT_NAME or "").rstrip("/")

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        # A proxy may have taken it away.
        if self._prefix and scope.get("path", "").startswith(f"{self._prefix}/"):
            scope = {**scope, "root_path": self._prefix}
        await self._application(scope, receive, send)


def serve(
    application: Any, listening: socket.socket, tell_started: Callable[[], object] = lambda: None
) -> bool:
    """Serve an application on a bound socket until a signal comes; tell whether it could start."""
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                tell_started()

    config = uvicorn.Config(
        application,
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        ws_max_size=conf.server_frame_limit,
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=3,
    )
    server = Server(config)
    server.run(sockets=[listening])
    return server.started


def main(number: str, name: str, ready: str) -> None:
    """Be the web server of `moi up`."""
    django.setup()
    follow_changes()
    has_static = apps.is_installed("django.contrib.staticfiles") and bool(settings.STATIC_URL)
    application = load_application(name, settings.DEBUG and has_static)
    tell_started = partial(os.write, int(ready), b".")
    if not serve(application, socket.socket(fileno=int(number)), tell_started):
        sys.exit(NOT_STARTED)


if __name__ == "__main__":
    main(*sys.argv[1:])
