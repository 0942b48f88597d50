"""A server that takes what sentry_sdk sends."""

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FakeSentry:
    """Keeps the events that are sent to its `dsn` while it is open."""

    def __init__(self):
        self._events = []
        kept = self._events

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                # An envelope has its own header, and one before each item.
                lines = [json.loads(line) for line in body.splitlines() if line.strip()]
                pairs = zip(lines[1::2], lines[2::2], strict=True)
                kept.extend(item for header, item in pairs if header["type"] == "event")
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.dsn = f"http://key@127.0.0.1:{self._server.server_port}/1"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def take(self):
        """Return what has come since the last time."""
        events, self._events[:] = [*self._events], []
        return events

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
