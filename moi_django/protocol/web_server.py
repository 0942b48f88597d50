"""What can be known of, and done with, the web server that a connection comes by.

ASGI has no words for it. uvicorn hands each connection the methods of an object that has all of it.
"""

import logging
from functools import lru_cache
from typing import Any

logger = logging.getLogger(__name__)


def abort(receive: Any) -> bool:
    """Cut a connection off at once, with what still waits for its client; tell whether it is cut.

    To close it, or to end its task, would wait for who does not read.
    """
    transport: Any = getattr(getattr(receive, "__self__", None), "transport", None)
    if not hasattr(transport, "abort"):
        return False
    transport.abort()
    return True


def check_frame_limit(receive: Any, limit: int) -> None:
    """Say, once, when this server takes in more of a frame than we read of it."""
    config = getattr(getattr(receive, "__self__", None), "config", None)
    size = getattr(config, "ws_max_size", None)
    if isinstance(size, int) and size > limit:
        _warn_of(size, limit)


@lru_cache(maxsize=1)
def _warn_of(size: int, limit: int) -> None:
    logger.warning(
        "The web server takes in frames of up to %s bytes before anybody looks at them: start it "
        "with --ws-max-size=%s.",
        f"{size:,}",
        limit,
    )
