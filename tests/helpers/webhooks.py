"""A program that takes webhooks, and may answer oddly."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Request(NamedTuple):
    """What was sent to it."""

    path: str
    headers: dict[str, str]
    body: bytes


class Receiver:
    """A server on this machine; it answers with `status`, or byte by byte while it `drips`."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.status, self.location, self.drips = 204, "", False
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.requests.append(Request(self.path, dict(self.headers), body))
                if receiver.drips:
                    receiver.drip(self.wfile)
                    return
                self.send_response(receiver.status)
                if receiver.location:
                    self.send_header("Location", receiver.location)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.01])

    def drip(self, file: Any) -> None:
        """Answer a byte now and then, for ever."""
        try:
            while not self._stop.wait(0.05):
                file.write(b"H")
                file.flush()
        except OSError:
            return

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._server.server_port}/hook?a=1"

    def __enter__(self) -> "Receiver":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def elapsed_since(begun: float) -> float:
    """Return the seconds since a time of the monotonic clock."""
    return time.monotonic() - begun
