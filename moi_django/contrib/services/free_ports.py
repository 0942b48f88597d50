"""Choose ports for a program that opens them later.

Of a port that the kernel hands out to whoever asks, another program may be the next to get it; so
these are outside of its range, and chosen by chance for those that choose at the same time: one
that no `random.seed` makes the same for two of them.
"""

import secrets
import socket
from collections.abc import Sequence
from pathlib import Path

# From here on ports are for everybody.
LEAST, END = 10_000, 65_536
# Those that the kernel hands out, on Linux; others begin later.
KERNEL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
FIRST_OF_KERNEL = 32_768
# How often a block is chosen that has a port in use.
TRIES = 100


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """Return so many free ports in a row. Raises OSError where there are none."""
    end = _first_of_kernel()
    if end - LEAST < 100 * count:
        end = END  # the kernel hands out nearly all
    for _ in range(TRIES):
        first = LEAST + count * secrets.randbelow((end - LEAST) // count)
        ports = list(range(first, first + count))
        if not ports_in_use(ports, host):
            return ports
    raise OSError(f"No {count} free ports in a row from {LEAST} to {end} on {host}")


def ports_in_use(ports: Sequence[int], host: str) -> list[int]:
    """Return those of some ports that another program listens on."""
    return [port for port in ports if not _is_free(port, host)]


def _first_of_kernel() -> int:
    try:
        return int(KERNEL_RANGE.read_text().split()[0])
    except FileNotFoundError:
        return FIRST_OF_KERNEL


def _is_free(port: int, host: str) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True
