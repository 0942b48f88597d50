"""The web server of `moi up`: its arguments are SOCKET APPLICATION.

SOCKET is the number of a bound socket. It is handed down because a port that is only looked up may
be another program's by the time it is used.
"""

import socket
import sys

import uvicorn

from moi_django.conf import conf
from moi_django.contrib.reloading.watcher import follow_changes


def main(number: str, application: str) -> None:
    """Serve an application on an inherited socket until a signal comes."""
    follow_changes()
    module, _, name = application.rpartition(".")
    config = uvicorn.Config(
        f"{module}:{name}",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        ws_max_size=conf.server_frame_limit,
        lifespan="off",
        log_level="warning",
        timeout_graceful_shutdown=3,
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(number))])


if __name__ == "__main__":
    main(*sys.argv[1:])
