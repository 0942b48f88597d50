"""Say how this host looks to an engine: what it has, and what it reaches.

The doctor sends the text of this module to engines, which may have no moi_django, or another one:
it needs nothing but Python, and looks at Redis with what is installed.
"""

import importlib.machinery
import importlib.util
import os
import platform
import resource
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

# Seconds for one connection.
TIMEOUT = 1.0
PACKAGES = ("moi_django", "ipyparallel", "ipykernel", "redis", "Django")


def report(asked: dict) -> dict:
    """Return what was asked for: see `engine_checks.ask_engines`."""
    with ThreadPoolExecutor(16) as threads:
        host = asked.get("host") or ""
        ports = {
            name: threads.submit(probe_port, host, port)
            for name, port in asked.get("ports", {}).items()
        }
        said = threads.submit(ask_redis, asked["redis"]) if asked.get("redis") else None
        found = describe_process()
        found["missing"] = [name for name in asked.get("modules", ()) if not has_module(name)]
        paths = asked.get("paths", ())
        found["missing_paths"] = [path for path in paths if not Path(path).exists()]
        found["storage"] = read_text(asked.get("storage") or "")
        found["ports"] = {name: future.result() for name, future in ports.items()}
        found["redis"] = said and said.result()
    found["time"] = time.time()
    return found


def describe_process() -> dict:
    """Return what this process is and has."""
    settings = os.environ.get("DJANGO_SETTINGS_MODULE")
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "uid": os.getuid(),
        "executable": sys.executable,
        "directory": str(Path.cwd()),
        "home": str(Path.home()),
        "python": platform.python_version(),
        "path": os.environ.get("PYTHONPATH"),
        "settings": settings,
        "has_settings": settings is None or has_module(settings),
        "versions": {name: version_of(name) for name in PACKAGES},
        "open_files": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    }


def version_of(package: str) -> str:
    """Return the version that is here; nothing where there is none."""
    if package == "moi_django":
        try:
            return str(importlib.import_module(package).__version__)
        except Exception:
            return ""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def has_module(name: str) -> bool:
    """Tell whether a module is here, without an import of what is above it."""
    root, *below = name.split(".")
    try:
        spec = importlib.util.find_spec(root)
    except (ImportError, ValueError):
        spec = None
    for part in below:
        if spec is None or spec.submodule_search_locations is None:
            return False
        spec = importlib.machinery.PathFinder.find_spec(part, spec.submodule_search_locations)
    return spec is not None


def read_text(path: str) -> str:
    """Return what is in a small file; nothing where it is not."""
    try:
        with Path(path).open() as file:
            return file.read(100)
    except OSError:
        return ""


def probe_port(host: str, port: int) -> str:
    """Return why a port cannot be reached; nothing when it can."""
    try:
        socket.create_connection((host, port), TIMEOUT).close()
    except socket.gaierror:
        return "unknown name"
    except TimeoutError:
        return "no answer"
    except ConnectionRefusedError:
        return "refused"
    except OSError as error:
        return error.strerror or str(error)
    return ""


def ask_redis(url: str) -> dict:
    """Return the time of a Redis, or the kind of the error and its text."""
    try:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry
    except ImportError as error:
        return {"kind": "ImportError", "error": str(error)}
    try:
        client = redis.Redis.from_url(
            url,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=TIMEOUT,
            socket_connect_timeout=TIMEOUT,
        )
        with client:
            seconds, microseconds = client.time()
            return {"time": seconds + microseconds / 1e6, "own": time.time()}
    except Exception as error:
        return {"kind": type(error).__name__, "error": str(error)}
