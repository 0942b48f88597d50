"""Connections to clusters: one for each context and process.

Opened when first used, shared by all threads behind a lock (ipyparallel's views are not safe
without one), left alone after a fork, reopened when the controller was started anew.
"""

import atexit
import json
import logging
import os
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from moi_django.cluster.ipyparallel_adapter import ClusterClient, is_engine_death
from moi_django.conf import conf
from moi_django.engine.runner import JobSpec
from moi_django.exceptions import ClusterUnavailable
from moi_django.store import StoreConfig

logger = logging.getLogger(__name__)

# Called with the reason when a task has come to nothing, and whether its engine died.
OnLost = Callable[[str, bool], None]

HINT = "start one with `python manage.py moi up`, or name yours in MOI['CONTEXTS']"
# The module whose functions engines are asked to run.
ENGINE_MODULE = "moi_django.engine.runner"


class ClusterConnection:
    """The connection of this process to the cluster of one context."""

    def __init__(self, context: str) -> None:
        self._context = context
        self._lock = threading.RLock()
        self._client: ClusterClient | None = None
        # What tells the controller's file from that of its successor.
        self._file_version: object = None
        # Redis must not be written from ipyparallel's IO thread: it would stall every message.
        self._callbacks = ThreadPoolExecutor(1, thread_name_prefix=f"moi-{context}")

    def connect(self) -> ClusterClient:
        """Return a client, connected now unless that was done.

        Raises ClusterUnavailable when there is no controller or it has no engine.
        """
        with self._lock:
            file = connection_file(self._context)
            version = _file_version(file)
            client = self._client
            if client is None or client.is_closed or version != self._file_version:
                self._disconnect()
                client = self._open(file, version)
            if not client.has_engines:
                raise ClusterUnavailable(
                    f"The cluster of context {self._context!r} has no engine: start some with "
                    "`ipcluster engines`, or all of it with `python manage.py moi up`."
                )
            return client

    def _open(self, file: Path, version: object) -> ClusterClient:
        if version is None:
            raise ClusterUnavailable(
                f"No cluster for context {self._context!r} (there is no {file.name}): {HINT}."
            )
        _require_listener(self._context, file)
        try:
            client = ClusterClient(file, conf.CLUSTER_TIMEOUT)
        except Exception as error:
            raise ClusterUnavailable(
                f"The controller of context {self._context!r} does not answer ({error}): {HINT}."
            ) from error
        self._client, self._file_version = client, version
        return client

    def send(self, spec: JobSpec, payload: bytes, on_lost: OnLost) -> None:
        """Hand a job to the scheduler; `on_lost` hears when it has come to nothing.

        Raises ClusterUnavailable as `connect` does.
        """
        self._submit("run_job", [spec, payload], spec.id, [], on_lost)

    def pulse(self, config: StoreConfig, sent: float, engine: str | None = None) -> None:
        """Let an engine say that it has no job, and how far the scheduler has come.

        `engine` is the id of a certain one, which is asked besides the queue of all. Raises
        ClusterUnavailable as `connect` does.
        """
        context = None if engine else self._context
        targets = [engine] if engine else []
        args = [config, context, sent]
        self._submit("pulse", args, "pulse", targets, lambda reason, died: None)

    def engine_ids(self) -> set[str] | None:
        """Return the ids of the engines that the controller has, none when that is gone.

        Returns None when it is there and does not answer.
        """
        try:
            with self._lock:
                wait = self.connect().request_engine_ids()
        except ClusterUnavailable:
            return set()
        return wait(conf.CLUSTER_TIMEOUT)

    def _submit(
        self, function: str, args: list[Any], label: str, targets: list[str], on_lost: OnLost
    ) -> None:
        def on_done(error: BaseException | None) -> None:
            if error is not None:
                self._callbacks.submit(_report_lost, on_lost, str(error), is_engine_death(error))

        with self._lock:
            client = self.connect()
            try:
                client.submit(f"{ENGINE_MODULE}.{function}", args, label, targets, on_done)
            except Exception as error:
                raise ClusterUnavailable(
                    f"The controller of context {self._context!r} does not take jobs ({error}): "
                    f"{HINT}."
                ) from error

    def flush(self) -> None:
        """Wait until all that was sent has left this process, and finish what is set aside."""
        with self._lock:
            if self._client is not None:
                self._client.flush(conf.CLUSTER_TIMEOUT)
            self._disconnect()
        self._callbacks.shutdown()

    def _disconnect(self) -> None:
        if self._client is not None:
            self._client.close_sockets()
            self._client = None


def _report_lost(on_lost: OnLost, reason: str, died: bool) -> None:
    try:
        on_lost(reason, died)
    except Exception:
        logger.exception("A job was lost and its end could not be written.")


def connection_file(name: str) -> Path:
    """Return where the controller of a context leaves its address."""
    given = conf.context(name)
    if file := given.get("connection_file"):
        return Path(file).expanduser()
    cluster_id = given.get("cluster_id")
    client = f"ipcontroller-{cluster_id}-client.json" if cluster_id else "ipcontroller-client.json"
    return _profile_dir(given) / "security" / client


def _profile_dir(given: dict[str, Any]) -> Path:
    if directory := given.get("profile_dir"):
        return Path(directory).expanduser()
    # What IPython's own get_ipython_dir() does, which would cost an import of IPython to learn
    # that there is no cluster.
    base = Path(os.environ.get("IPYTHONDIR") or "~/.ipython").expanduser()
    return base / f"profile_{given.get('profile', 'default')}"


def _file_version(file: Path) -> object:
    """Return what tells one controller's file from the next one's; None when there is none."""
    try:
        status = file.stat()
    except FileNotFoundError:
        return None
    return (str(file), status.st_ino, status.st_mtime_ns)


def _require_listener(name: str, file: Path) -> None:
    """Raise ClusterUnavailable at once when nothing listens where the controller should.

    ipyparallel's client would wait for its whole timeout.
    """
    try:
        said = json.loads(file.read_text())
        host = said["interface"].partition("://")[2]
        if said.get("ssh") or not said["interface"].startswith("tcp://"):
            return
        if host in ("*", "0.0.0.0"):  # noqa: S104 - it is read, not bound
            host = said["location"]
        socket.create_connection((host, said["registration"]), conf.CLUSTER_TIMEOUT / 2).close()
    except ConnectionRefusedError as error:
        raise ClusterUnavailable(
            f"The controller of context {name!r} is gone (nothing listens at {host}): {HINT}."
        ) from error
    except (OSError, ValueError, KeyError) as error:
        # A name only the controller's own host knows, say: ipyparallel knows more ways.
        logger.debug("Cannot probe the controller of context %r: %s", name, error)


_connections: dict[str, ClusterConnection] = {}
_connections_lock = threading.Lock()
# A client of the parent process works no more here, and to destroy it could harm the parent's.
_inherited: list[ClusterConnection] = []


def get_connection(context: str) -> ClusterConnection:
    """Return the connection of this process to the cluster of a context.

    Raises UnknownContext when MOI["CONTEXTS"] has no such name.
    """
    conf.context(context)
    with _connections_lock:
        if context not in _connections:
            _connections[context] = ClusterConnection(context)
        return _connections[context]


def close_connections() -> None:
    """Deliver what was sent and close every connection: without it, the last jobs were lost."""
    with _connections_lock:
        connections = list(_connections.values())
        _connections.clear()
    for each in connections:
        each.flush()


def _after_fork() -> None:
    global _connections_lock
    _connections_lock = threading.Lock()
    _inherited.extend(_connections.values())
    _connections.clear()


atexit.register(close_connections)
os.register_at_fork(after_in_child=_after_fork)
