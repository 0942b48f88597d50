"""A collector of spans, and what the docs set up the exporter with that sends them there."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.helpers.processes import ROOT


@contextmanager
def span_collector() -> Iterator[tuple[str, list[Any]]]:
    """Listen until the block ends; give the address, and the spans that have come."""
    spans = list[Any]()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                spans.extend(span for scope in resource.scope_spans for span in scope.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", spans
        server.shutdown()
        thread.join()


def write_telemetry(directory: Path) -> str:
    """Write what the docs set OpenTelemetry up with as a module; return its name."""
    page = (ROOT / "docs/howto/monitor.md").read_text()
    [code] = re.findall(r"```python\n# mysite/telemetry\.py\n(.*?)```", page, re.DOTALL)
    (directory / "telemetry_of_the_docs.py").write_text(f"{code}\n\nset_up()\n")
    return "telemetry_of_the_docs"


def attributes_of(span: Any) -> dict[str, Any]:
    """Return the attributes of a span that was exported."""
    return {
        each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes
    }
