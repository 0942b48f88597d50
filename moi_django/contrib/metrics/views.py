"""The page that Prometheus scrapes, for those alone who may know."""

from typing import Any

from asgiref.sync import sync_to_async
from django.db import close_old_connections
from django.http import HttpRequest, HttpResponse

from moi_django.contrib.command_line.verb_base import not_installed
from moi_django.contrib.health import access
from moi_django.exceptions import MoiError


@access.operator_view
async def metrics(request: HttpRequest) -> HttpResponse:
    """Return the metrics; 503 while Redis is away, by which Prometheus takes the site for down."""
    accept = request.headers.get("Accept", "")
    try:
        text, content_type = await sync_to_async(render_metrics, thread_sensitive=False)(accept)
    except MoiError as error:
        return HttpResponse(f"{error}\n", status=503, content_type="text/plain")
    return HttpResponse(text, content_type=content_type)


def render_metrics(accept: str = "") -> tuple[bytes, str]:
    """Return the metrics as the header `Accept` wants them, and their content type.

    Raises StoreUnavailable, NotRunning, or MoiError when prometheus_client is missing.
    """
    try:
        from prometheus_client import CollectorRegistry
        from prometheus_client.exposition import choose_encoder

        from moi_django.contrib.metrics.collector import JobsCollector
    except ModuleNotFoundError as error:
        raise not_installed(error, "metrics") from error
    registry: Any = CollectorRegistry()
    registry.register(JobsCollector())
    encode, content_type = choose_encoder(accept)
    try:
        return encode(registry), content_type
    finally:
        close_old_connections()
