"""Where `moi up` serves: at the address that was named, else at the usual one or the next free."""

import errno
import socket
from itertools import count

from moi_django.exceptions import ServiceError, UsageError

USUAL_HOST, USUAL_PORT = "127.0.0.1", 8000
# After so many ports it is not by chance that they are taken.
PORTS_TRIED = 100


def bind_socket(bind: str | None) -> socket.socket:
    """Return a bound socket; `bind` is HOST:PORT, port 0 for a free one, or None.

    Raises ServiceError when the address cannot be had, and UsageError when it is none.
    """
    if bind is None:
        return _bind_next_free()
    try:
        return _bind(*parse_address(bind))
    except OSError as error:
        raise _refused(bind, error) from error


def parse_address(bind: str) -> tuple[str, int]:
    """Return the host and the port of HOST:PORT; raise UsageError when it is something else."""
    host, _, port = bind.rpartition(":")
    if not port.isascii() or not port.isdecimal() or int(port) > 65535:
        raise UsageError(f"{bind!r} is no address to serve on: give HOST:PORT.")
    return host.strip("[]") or USUAL_HOST, int(port)


def _bind_next_free() -> socket.socket:
    for port in count(USUAL_PORT):
        try:
            return _bind(USUAL_HOST, port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or port == USUAL_PORT + PORTS_TRIED:
                raise _refused(f"{USUAL_HOST}:{port}", error) from error
    raise AssertionError  # there is always a next number


def _bind(host: str, port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError:
        listening.close()
        raise
    return listening


def _refused(bind: str, error: OSError) -> ServiceError:
    return ServiceError(
        f"Cannot serve on {bind}: {error.strerror}. Choose another address with "
        "--bind HOST:PORT (port 0 takes a free one)."
    )


def socket_address(listening: socket.socket) -> str:
    """Return where a socket is, as it stands in a url."""
    host, port = listening.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def describe_move(listening: socket.socket) -> str | None:
    """Return why a socket is not at the usual address, for who has named none."""
    port = listening.getsockname()[1]
    if port == USUAL_PORT:
        return None
    return f"Port {USUAL_PORT} is taken by another program, so the site is on {port}."
