"""Look at Redis: whether it is reached, and whether it keeps what it is given."""

import socket
import ssl
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from moi_django.contrib.checks.memory_policy import read_memory_policy
from moi_django.contrib.doctor.engine_report import TIMEOUT, ask_redis
from moi_django.contrib.doctor.finding import Finding, fault, note, ok
from moi_django.store.connection import without_secret

# Seconds that a clock may be off.
MAX_SKEW = 1.0
# What in the query of an url is the path of a file.
FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_ca_path")
PING = b"*1\r\n$4\r\nPING\r\n"


def paths_of(url: str) -> list[str]:
    """Return the files that an url names: who uses it needs them."""
    parts = urlsplit(url)
    named = parse_qs(parts.query)
    files = [path for name in FILES for path in named.get(name, ())]
    return [*files, unquote(parts.path)] if parts.scheme == "unix" else files


def examine_redis(url: str, where: str = "") -> list[Finding]:
    """Return what is found of a Redis from this host."""
    if missing := [path for path in paths_of(url) if not Path(path).exists()]:
        return [judge_missing(url, missing, where)]
    said = ask_redis(url)
    if "error" in said:
        return [judge_error(url, said, where)]
    found = [ok("redis-reachable", f"{without_secret(url)} answers", where)]
    found += judge_skew(said["own"] - said["time"], 0.0, where)
    return [*found, *_examine_policy(url, where)]


def judge_missing(url: str, missing: list[str], where: str) -> Finding:
    """Return what it means that files which the url of Redis names are not there."""
    if urlsplit(url).scheme == "unix":
        return fault(
            "engine-paths",
            f"there is no socket {missing[0]}: {without_secret(url)} leads nowhere",
            "a socket is of one host: give ENGINE_REDIS_URL a rediss:// address",
            where,
        )
    return fault(
        "redis-tls",
        f"the url of Redis names {', '.join(missing)}, which is not there",
        "have that file under the same path on every host of engines",
        where,
    )


def judge_error(url: str, said: dict[str, str], where: str) -> Finding:
    """Return what an error means that redis-py has raised."""
    at, kind, error = without_secret(url), said["kind"], said["error"].rstrip(".")
    if kind == "ImportError":
        advice = "install moi_django with what it needs there"
        return fault("engine-packages", f"redis-py is missing: {error}", advice, where)
    if kind == "AuthenticationError" or "NOAUTH" in error or "WRONGPASS" in error:
        advice = "see the user and password in REDIS_URL and ENGINE_REDIS_URL"
        return fault("redis-password", f"Redis at {at} lets nobody in: {error}", advice, where)
    if tls := _find_tls_mix_up(url):
        return fault("redis-tls", f"{tls} ({error})", "see the scheme of the url", where)
    if "SSL" in error or "certificate" in error:
        advice = "see ssl_ca_certs in the url, and for which names the certificate is"
        return fault("redis-tls", f"Redis at {at}: {error}", advice, where)
    advice = "see whether it runs, where it listens (`bind`), and the firewalls to it"
    return fault("redis-reachable", f"Redis at {at} is not reached: {error}", advice, where)


def _find_tls_mix_up(url: str) -> str:
    """Return in words that one side speaks TLS and the other one does not, if that is so."""
    parts = urlsplit(url)
    if parts.scheme not in ("redis", "rediss"):
        return ""
    at = parts.hostname or "localhost", parts.port or 6379
    try:
        with socket.create_connection(at, TIMEOUT) as raw:
            raw.settimeout(TIMEOUT)
            if parts.scheme == "rediss":
                raw.sendall(PING)
                is_mixed = raw.recv(1) in (b"+", b"-")
                return "the url says rediss:// and the port speaks no TLS" if is_mixed else ""
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            with context.wrap_socket(raw):
                return "the url says redis:// and the port speaks TLS"
    except ssl.SSLError as error:
        # It speaks TLS, and wants a certificate.
        return "the url says redis:// and the port speaks TLS" if "ALERT" in str(error) else ""
    except OSError:
        return ""


def judge_skew(skew: float, error: float, where: str) -> list[Finding]:
    """Return whether a clock goes as that of Redis does, as far as that can be known."""
    if abs(skew) - error <= MAX_SKEW:
        return [ok("clock", "goes with that of Redis", where)]
    word = "fast" if skew > 0 else "slow"
    text = f"the clock is {abs(skew):,.0f} s {word}: jobs seem to start and end at other times"
    return [fault("clock", text, "have it set by NTP (chrony, systemd-timesyncd)", where)]


def _examine_policy(url: str, where: str) -> list[Finding]:
    said = read_memory_policy(url)
    if said is None:
        text = "Redis does not say what it does when it is full"
        return [
            note("redis-eviction", text, "see noeviction and appendonly in its settings", where)
        ]
    found = []
    if said.evicts:
        found.append(
            fault(
                "redis-eviction",
                f"Redis drops keys when it is full (maxmemory-policy {said.policy}): jobs vanish",
                "CONFIG SET maxmemory-policy noeviction",
                where,
            )
        )
    if not said.persists:
        found.append(
            fault(
                "redis-persistence",
                "Redis writes nothing to disk: a restart forgets all jobs",
                "CONFIG SET appendonly yes, and the same in its configuration",
                where,
            )
        )
    return found or [ok("redis-eviction", "Redis keeps what it has, on disk too", where)]
