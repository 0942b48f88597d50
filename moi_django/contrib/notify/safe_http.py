"""Post to an address that a stranger may have named: to the public internet, in a limited time.

The address that is looked at is the one that is connected to, so no name can lead to another one in
between. Redirects are not followed. No proxy of the environment is used, and no cookie kept.
"""

import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from urllib.parse import SplitResult, urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Public by their numbers, not all versions of Python know better: what answers for the machines of
# Azure; networks of IETF protocols, with what does so for those of Oracle; relays of 6to4; what
# sites had before fc00::/7; what examples have.
NOT_PUBLIC = [
    *map(ipaddress.ip_network, ("168.63.129.16/32", "192.0.0.0/24", "192.88.99.0/24")),
    *map(ipaddress.ip_network, ("fec0::/10", "3fff::/20")),
]
# In these networks the last 32 bits are an address of IPv4.
NAT64 = ipaddress.ip_network("64:ff9b::/96")
# Bytes of an answer that are read.
MAX_ANSWER = 1_000
# How many addresses of a name are tried.
MAX_ADDRESSES = 2


class AddressRefused(ValueError):
    """Nothing is sent to such an address."""


def post(
    url: str, body: bytes, headers: Mapping[str, str], timeout: float, networks: Sequence[str] = ()
) -> int:
    """Send a body and return the status of the answer.

    `networks` are allowed though they are not public. Raises AddressRefused, OSError or
    `http.client.HTTPException`.
    """
    parts = checked_url(url)
    exchange = _Exchange(_open_socket(parts, timeout, networks))
    # However slowly it answers: each byte that comes would let a timeout of the socket begin anew.
    watchdog = threading.Timer(timeout, exchange.interrupt)
    watchdog.daemon = True
    watchdog.start()
    try:
        return exchange.post(parts, body, headers)
    finally:
        watchdog.cancel()
        exchange.sock.close()


class _Exchange:
    """One request over a socket that is connected."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def post(self, parts: SplitResult, body: bytes, headers: Mapping[str, str]) -> int:
        host, is_secure = parts.hostname or "", parts.scheme == "https"
        if is_secure:
            self.sock = ssl.create_default_context().wrap_socket(
                self.sock, server_hostname=host, do_handshake_on_connect=False
            )
            self.sock.do_handshake()
        connection = http.client.HTTPConnection(host, _port_of(parts))
        connection.default_port = 443 if is_secure else 80
        # It is given its socket, and makes none: that might lead elsewhere.
        connection.sock, connection.auto_open = self.sock, 0
        path = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
        connection.request("POST", path, body, {**headers, "Connection": "close"})
        answer = connection.getresponse()
        answer.read(MAX_ANSWER)
        return answer.status

    def interrupt(self) -> None:
        """Let what waits for the socket wait no more."""
        with suppress(OSError):  # the other side was faster
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)


def checked_url(url: str) -> SplitResult:
    """Return the parts of an address; raises AddressRefused for what is none of http."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise AddressRefused(f"{url!r:.200} is no address: {error}") from error
    if not url.isascii() or not url.isprintable() or " " in url:
        raise AddressRefused(f"{url!r:.200} has characters that no address has")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise AddressRefused(f"{url!r:.200} is no address of http or https")
    return parts


def is_allowed(address: Address, networks: Sequence[str] = ()) -> bool:
    """Tell whether an address is one of the public internet, or in one of the networks."""
    inner = _inner(address)
    if any(_is_in(each, network) for each in {address, inner} for network in networks):
        return True
    is_public = inner.is_global and not inner.is_multicast and not inner.is_reserved
    return is_public and not any(inner in network for network in NOT_PUBLIC)


def _is_in(address: Address, network: str) -> bool:
    return address in ipaddress.ip_network(network, strict=False)


def _inner(address: Address) -> Address:
    """Return the address of IPv4 to which one of IPv6 leads, or the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    tunnel = address.teredo[1] if address.teredo else None
    return address.ipv4_mapped or address.sixtofour or tunnel or address


def _port_of(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


def _open_socket(parts: SplitResult, timeout: float, networks: Sequence[str]) -> socket.socket:
    host = parts.hostname or ""
    found = socket.getaddrinfo(host, _port_of(parts), type=socket.SOCK_STREAM)
    last: OSError = AddressNotFound(f"{host} has no address")
    for family, kind, protocol, _, place in found[:MAX_ADDRESSES]:
        address = ipaddress.ip_address(str(place[0]).partition("%")[0])
        if not is_allowed(address, networks):
            raise AddressRefused(f"{host} leads to {address}, which is not public")
        sock = socket.socket(family, kind, protocol)
        sock.settimeout(timeout)
        try:
            sock.connect(place)
        except OSError as error:
            sock.close()
            last = error
        else:
            return sock
    raise last


class AddressNotFound(OSError):
    """A name leads nowhere."""
