"""`manage.py runserver` that serves ASGI_APPLICATION by uvicorn, and else is what it was before."""

import io
import socket
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser, OutputWrapper

from moi_django.contrib.runserver.next_command import find_next_command
from moi_django.exceptions import MoiError

RunserverCommand: Any = find_next_command()


class UvicornServer:
    """What Django takes for a server: it binds, hands over what to serve, and lets it run."""

    def __init__(self, address: tuple[str, int], handler: object, ipv6: bool = False) -> None:
        self._socket = socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(address)
        self._socket.listen()  # from here on, browsers wait and are not refused
        self.server_port = self._socket.getsockname()[1]

    def set_app(self, application: Any) -> None:
        """Take what to serve."""
        self._application = application

    def serve_forever(self) -> None:
        """Serve until the process ends, or a signal comes where there is no reloader."""
        from moi_django.contrib.services import web_server

        web_server.serve(self._application, self._socket)


class Command(RunserverCommand):
    """The command that the site would have without this one, with another server."""

    server_cls = UvicornServer
    stdout: Any

    def add_arguments(self, parser: CommandParser) -> None:
        """Let people have the server that they had before."""
        super().add_arguments(parser)
        parser.add_argument(
            "--noasgi",
            action="store_false",
            dest="use_asgi",
            help="Serve WSGI as Django does; pages are not live then.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Choose the server."""
        self._is_asgi = options["use_asgi"] and bool(getattr(settings, "ASGI_APPLICATION", None))
        if self._is_asgi:
            _require_uvicorn()
        else:
            self.server_cls = RunserverCommand.server_cls
        super().handle(*args, **options)

    def get_handler(self, *args: Any, **options: Any) -> Any:
        """Return what to serve, with static files where the command before would serve them."""
        if not self._is_asgi:
            return super().get_handler(*args, **options)
        from moi_django.contrib.services.web_server import load_application

        # Known where staticfiles is installed.
        wants_static = options.get("use_static_handler", False)
        is_insecure = options.get("insecure_serving", False)
        return load_application(
            settings.ASGI_APPLICATION, wants_static and (settings.DEBUG or is_insecure)
        )

    def on_bind(self, server_port: int) -> None:
        """Say what is served, besides where."""
        stdout, said = self.stdout, io.StringIO()
        self.stdout = OutputWrapper(said)
        super().on_bind(server_port)
        self.stdout = stdout
        text = said.getvalue()
        if self._is_asgi:
            # Django takes every server for one of WSGI, and since 6.0 says so.
            text = text.replace("Starting WSGI development", "Starting ASGI development")
        self.stdout.write(text, ending="")
        if self._is_asgi:
            self.stdout.write(f"Serving {settings.ASGI_APPLICATION} and its websockets by uvicorn.")


def _require_uvicorn() -> None:
    from moi_django.contrib.services.web_server import require_uvicorn

    try:
        require_uvicorn()
    except MoiError as error:
        raise CommandError(str(error)) from error
