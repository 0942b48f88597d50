"""A line for each request and each websocket, as `runserver` and daphne write them."""

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from moi_django.contrib.command_line.text_report import escape_terminal

# Django's own, whose handler colours a line by its status where the terminal has colours.
logger = logging.getLogger("django.server")

Scope: TypeAlias = dict[str, Any]
Message: TypeAlias = dict[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]


class AccessLog:
    """An ASGI application around another one. It hands `receive` on as it is."""

    def __init__(self, application: Any) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the application answer, and log what it does."""
        if scope["type"] == "http":
            await self._answer_request(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._serve_websocket(scope, receive, send)
        else:
            await self._application(scope, receive, send)

    async def _answer_request(self, scope: Scope, receive: Receive, send: Send) -> None:
        status, size, is_over = 0, 0, False

        async def counting(message: Message) -> None:
            nonlocal status, size, is_over
            status = message.get("status", status)
            size += len(message.get("body", b""))
            await send(message)
            is_over = message["type"] == "http.response.body" and not message.get("more_body")
            if is_over:
                _log_request(scope, status, size)

        try:
            await self._application(scope, receive, counting)
        except Exception:
            status = status or 500  # what the server answers then
            raise
        finally:
            if status and not is_over:  # without a status, the client has left
                _log_request(scope, status, size)

    async def _serve_websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_accepted = False

        async def watching(message: Message) -> None:
            nonlocal is_accepted
            if message["type"] == "websocket.accept":
                is_accepted = True
                _log_websocket("CONNECT", scope)
            await send(message)

        try:
            await self._application(scope, receive, watching)
        finally:
            _log_websocket("DISCONNECT" if is_accepted else "REJECT", scope)


def _log_request(scope: Scope, status: int, size: int) -> None:
    level = logging.INFO if status < 400 else logging.WARNING if status < 500 else logging.ERROR
    path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
    query = scope.get("query_string", b"").decode("latin-1")
    target = escape_terminal(f"{path}?{query}" if query else path)
    line = f"{scope['method']} {target} HTTP/{scope['http_version']}"
    extra = {"status_code": status, "server_time": _server_time()}
    logger.log(level, '"%s" %s %s', line, status, size, extra=extra)


def _log_websocket(action: str, scope: Scope) -> None:
    client = scope.get("client")
    address = ":".join(map(str, client)) if client else "-"
    extra = {"server_time": _server_time()}
    logger.info(
        "WebSocket %s %s [%s]", action, escape_terminal(scope["path"]), address, extra=extra
    )


def _server_time() -> str:
    """Return the time as the handler of Django's server writes it."""
    return time.strftime("%d/%b/%Y %H:%M:%S")
