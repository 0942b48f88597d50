"""Responses to download, sent piece by piece, so that a server never holds all of a file."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from functools import partial
from typing import Any
from urllib.parse import quote

from django.core.handlers.asgi import ASGIRequest
from django.http import FileResponse, HttpRequest, StreamingHttpResponse
from django.utils.http import content_disposition_header

from moi_django.contrib.job_pages import results

# Bytes or characters that are sent at once, or a few more.
CHUNK_SIZE = 100_000


def text_response(request: HttpRequest, texts: Iterable[str], name: str) -> Any:
    """Return a response that is a text file."""
    chunks: Any = _chunked(texts)
    if isinstance(request, ASGIRequest):
        chunks = _in_threads(chunks)
    response = StreamingHttpResponse(chunks, content_type="text/plain; charset=utf-8")
    return as_attachment(response, name)


def file_response(request: HttpRequest, content: Any, name: str, type: str) -> Any:
    """Return a response that is an open file, which it closes."""
    response = FileResponse(content)
    response["Content-Type"] = type
    if isinstance(request, ASGIRequest):
        response.streaming_content = _in_threads(iter(partial(content.read, CHUNK_SIZE), b""))
    return as_attachment(response, name)


def as_attachment(response: Any, name: str) -> Any:
    """Return a response as a file of a name, as RFC 6266 has it."""
    disposition = content_disposition_header(True, name)
    if name.isascii() and "%" in name:  # which browsers would take for an escape
        disposition = f"{disposition}; filename*=utf-8''{quote(name)}"
    response["Content-Disposition"] = disposition
    return results.sandbox_response(response)


def _chunked(texts: Iterable[str]) -> Iterator[bytes]:
    """Yield many short texts as few longer ones."""
    waiting, size = list[str](), 0
    for text in texts:
        waiting.append(text)
        size += len(text)
        if size >= CHUNK_SIZE:
            yield "".join(waiting).encode()
            waiting, size = [], 0
    yield "".join(waiting).encode()


async def _in_threads(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Yield chunks under ASGI, where Django would read them all before it sends the first."""
    while chunk := await asyncio.to_thread(next, chunks, b""):
        yield chunk
