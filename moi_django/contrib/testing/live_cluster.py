"""A small cluster for the tests of one process, on the databases of these tests."""

import asyncio
import json
import os
import shutil
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connections
from django.utils.connection import ConnectionDoesNotExist

from moi_django.conf import conf
from moi_django.contrib.services.local_cluster import (
    connection_file,
    make_local_cluster,
    start_cluster,
)
from moi_django.contrib.testing import job_files, private_redis
from moi_django.contrib.testing.engine_settings import VARIABLE
from moi_django.contrib.testing.process_end import at_process_end
from moi_django.exceptions import ServiceError

ENGINES = 2
STOPPED_WITHIN = 10.0

_files: dict[int, str] = {}


def start_once() -> str:
    """Return where the controller has left its address; it is started when first asked for."""
    pid = os.getpid()
    if pid not in _files:
        _files[pid] = _start()
    return _files[pid]


def _start() -> str:
    directory = Path(tempfile.mkdtemp(prefix="moi-test-cluster-"))
    cluster = make_local_cluster(ENGINES, directory, _engine_environment(directory))
    cluster.shutdown_atexit = False
    loop = asyncio.new_event_loop()
    # What it starts dies with this thread.
    threading.Thread(target=loop.run_forever, daemon=True, name="moi-test-cluster").start()

    def stop() -> None:
        with suppress(TimeoutError):  # the kernel ends what is left
            asyncio.run_coroutine_threadsafe(cluster.stop_cluster(), loop).result(STOPPED_WITHIN)
        shutil.rmtree(directory, ignore_errors=True)

    at_process_end(stop)
    asyncio.run_coroutine_threadsafe(start_cluster(cluster), loop).result().close()
    return str(connection_file(directory))


def _engine_environment(directory: Path) -> dict[str, str]:
    module = os.environ.get("DJANGO_SETTINGS_MODULE")
    if not module:
        raise ServiceError("Engines need DJANGO_SETTINGS_MODULE, and these tests have none.")
    context = {"connection_file": str(connection_file(directory))}
    contexts = dict.fromkeys(conf.CONTEXTS, context)
    given: dict[str, Any] = {
        "module": module,
        "databases": {alias: _test_database(alias) for alias in settings.DATABASES},
        "moi": {
            "REDIS_URL": private_redis.server_url(),
            "ENGINE_REDIS_URL": None,
            "CONTEXTS": contexts,
            "STORAGE": job_files.directory(),
            "TEST_ISOLATION": False,
        },
    }
    return {
        "DJANGO_SETTINGS_MODULE": "moi_django.contrib.testing.engine_settings",
        VARIABLE: json.dumps(given),
        "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path),
    }


def _test_database(alias: str) -> dict[str, Any]:
    """Return what differs from the settings in the database that the tests use."""
    try:
        connection: Any = connections[alias]
    except ConnectionDoesNotExist:
        return {}
    if connection.vendor == "sqlite" and connection.is_in_memory_db():
        return {"ENGINE": "moi_django.contrib.testing.no_database"}
    return {"NAME": str(connection.settings_dict["NAME"])}
