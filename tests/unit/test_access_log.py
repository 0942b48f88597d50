"""The log of the web server: a line for each request and websocket, and nothing changed by it."""

import logging

import pytest

from moi_django.contrib.services.access_log import AccessLog

HTTP = {
    "type": "http",
    "method": "GET",
    "http_version": "1.1",
    "path": "/a b",
    "raw_path": b"/a%20b",
    "query_string": b"x=1",
}
WEBSOCKET = {"type": "websocket", "path": "/moi-ws/", "client": ("127.0.0.1", 5000)}


@pytest.fixture
def log(caplog):
    """Return what was logged, as level and text."""
    logger = logging.getLogger("django.server")
    logger.addHandler(caplog.handler)
    caplog.set_level(logging.INFO, "django.server")
    yield lambda: [(record.levelname, record.getMessage()) for record in caplog.records]
    logger.removeHandler(caplog.handler)


async def run(application, scope):
    """Return what an application has sent, with the log around it."""
    sent = []

    async def send(message):
        sent.append(message)

    await AccessLog(application)(scope, receive, send)
    return sent


async def receive():
    return {"type": "websocket.connect"}


def answering(status, *bodies):
    async def application(scope, receive, send):
        await send({"type": "http.response.start", "status": status, "headers": []})
        for body in bodies:
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body"})

    return application


@pytest.mark.parametrize(
    ("status", "level"),
    [(200, "INFO"), (304, "INFO"), (404, "WARNING"), (503, "ERROR")],
)
async def test_a_request_is_logged_as_runserver_does(log, caplog, status, level):
    sent = await run(answering(status, b"four", b"more"), HTTP)
    assert log() == [(level, f'"GET /a%20b?x=1 HTTP/1.1" {status} 8')]
    assert caplog.records[0].status_code == status  # from which the colour is made
    assert [message["type"].rpartition(".")[2] for message in sent] == ["start", *["body"] * 3]


async def test_a_path_cannot_steer_the_terminal(log):
    await run(answering(200), HTTP | {"raw_path": b"/\x1b[2J", "query_string": b""})
    assert log() == [("INFO", '"GET /\ufffd[2J HTTP/1.1" 200 0')]


async def test_what_fails_is_an_error_and_who_has_left_got_nothing(log):
    async def failing(scope, receive, send):
        raise LookupError

    async def leaving(scope, receive, send):
        pass

    async def failing_later(scope, receive, send):
        await answering(200)(scope, receive, send)
        raise LookupError

    for application in (failing, failing_later):
        with pytest.raises(LookupError):
            await run(application, HTTP)
    await run(leaving, HTTP)
    line = '"GET /a%20b?x=1 HTTP/1.1"'
    assert log() == [("ERROR", f"{line} 500 0"), ("INFO", f"{line} 200 0")]


async def test_a_websocket_is_logged_when_it_comes_and_when_it_goes(log):
    async def echo(scope, given, send):
        assert given is receive  # by which a consumer finds its server
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close"})

    async def refusing(scope, receive, send):
        await send({"type": "websocket.close"})

    await run(echo, WEBSOCKET)
    await run(refusing, WEBSOCKET | {"client": None})
    assert log() == [
        ("INFO", "WebSocket CONNECT /moi-ws/ [127.0.0.1:5000]"),
        ("INFO", "WebSocket DISCONNECT /moi-ws/ [127.0.0.1:5000]"),
        ("INFO", "WebSocket REJECT /moi-ws/ [-]"),
    ]


async def test_anything_else_is_handed_on(log):
    async def lifespan(scope, receive, send):
        await send({"type": "lifespan.startup.complete"})

    assert await run(lifespan, {"type": "lifespan"}) == [{"type": "lifespan.startup.complete"}]
    assert log() == []
