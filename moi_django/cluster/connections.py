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
import time
from collections import defaultdict
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

from moi_django.cluster.ipyparallel_adapter import (
    ClusterClient,
    describe_error,
    is_engine_death,
)
from moi_django.conf import conf
from moi_django.engine.work_spec import WorkSpec
from moi_django.exceptions import ClusterUnavailable, MoiError
from moi_django.store.connection import Wait

logger = logging.getLogger(__name__)

# Called when an engine does its work no more.
Callback = Callable[[], object]

ENGINE_HINT = (
    "start some with `ipcluster engines` or `moi cluster scale`, or all of it with `moi up`"
)
ELASTIC_HINT = "`moi reconcile` starts some when jobs wait"
HINT = "start one with `manage.py moi up` or `moi cluster start`, or name yours in MOI['CONTEXTS']"
# The function that engines are asked to run.
WORK = "moi_django.engine.worker.work"
# What stands for a cluster where jobs run in who submits them, an optional part.
IMMEDIATE = "moi_django.contrib.testing.immediate"
# Seconds for which a call counts, at first, that has no end.
CALL_TTL = 10.0
# Seconds for which a cluster that was not there is taken to be absent.
ABSENCE_TTL = 5.0


class PendingCalls:
    """The calls to a queue that have no end yet.

    One that takes long may be lost, or behind the work of others: it counts no more after a while,
    which is the longer the more of them there are, so that not many pile up in a scheduler.
    """

    def __init__(self) -> None:
        # Guards all below: calls end in other threads.
        self._lock = threading.Lock()
        # Until when each counts.
        self._until: dict[str, float] = {}
        # True when another one would have been made, had there not been so many.
        self._is_more_wanted = False

    def add(self, call: str) -> None:
        """Note that a call was made."""
        with self._lock:
            late = len(self._until) - self._count()
            self._until[call] = time.monotonic() + CALL_TTL * 2 ** min(late, 6)

    def end(self, call: str) -> bool:
        """Note the end of a call; tell whether another one is wanted by now."""
        with self._lock:
            self._until.pop(call, None)
            is_wanted, self._is_more_wanted = self._is_more_wanted, False
            return is_wanted

    def room(self, limit: int) -> int:
        """Return how many more may be made, of `limit` at once; if none, one is wanted later."""
        with self._lock:
            left = max(0, limit - self._count())
            self._is_more_wanted |= not left
            return left

    def _count(self) -> int:
        return sum(until > time.monotonic() for until in self._until.values())


class ClusterConnection:
    """The connection of this process to the cluster of one context."""

    def __init__(self, context: str) -> None:
        self._context = context
        self._lock = threading.RLock()
        self._client: ClusterClient | None = None
        # How many calls of the client have no end yet, by their queue.
        self._pending = defaultdict[str, PendingCalls](PendingCalls)
        # Until when a cluster that was not there is not looked for, unless its file is another.
        self._absent_until = 0.0
        self._absent_version: object = None
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
            return self._connect(file, _file_version(file))

    def _connect(self, file: Path, version: object) -> ClusterClient:
        client = self._client
        if client is None or client.is_closed or version != self._file_version:
            self._disconnect()
            client = self._open(file, version)
        if not client.engine_count:
            hint = ELASTIC_HINT if may_be_empty(self._context) else ENGINE_HINT
            raise ClusterUnavailable(
                f"The cluster of context {self._context!r} has no engine: {hint}."
            )
        return client

    def _open(self, file: Path, version: object) -> ClusterClient:
        if version is None:
            raise ClusterUnavailable(
                f"No cluster for context {self._context!r} (there is no {file.name}): {HINT}."
            )
        require_listener(self._context, file)
        try:
            client = ClusterClient(file, conf.CLUSTER_TIMEOUT)
        except Exception as error:
            raise ClusterUnavailable(
                f"The controller of context {self._context!r} does not answer ({error}): {HINT}."
            ) from error
        self._client, self._file_version = client, version
        self._absent_until = 0.0
        return client

    def count_engines(self, queue: str) -> tuple[int, int]:
        """Return how many engines there are, and how many of them this process may still call.

        It has so many calls to a queue under way at most, however long others keep the engines. No
        cluster has none; one that was not there is not asked for again at once: whoever submits
        need not wait.
        """
        with self._lock:
            file = connection_file(self._context)
            version = _file_version(file)
            if time.monotonic() < self._absent_until and version == self._absent_version:
                return 0, 0
            try:
                count = self._connect(file, version).engine_count
            except ClusterUnavailable as error:
                logger.warning("Jobs wait: %s", error)
                self._absent_until, self._absent_version = time.monotonic() + ABSENCE_TTL, version
                return 0, 0
            # None, also when a worker has left whose end is not known here yet.
            return count, self._pending[queue].room(count)

    def call_worker(
        self,
        spec: WorkSpec,
        queue: str,
        call: str,
        targets: Collection[str] | None,
        on_more: Callback,
        on_engine_death: Callback,
    ) -> None:
        """Ask an engine, one of `targets` if there are some, to work on a queue.

        One of the callbacks is called in another thread, when the engine has left a queue in which
        there is more, or has died. Raises ClusterUnavailable as `connect` does.
        """
        with self._lock:
            client = self.connect()
            pending = self._pending[queue]

            def on_end(has_more: Any, error: BaseException | None) -> None:
                is_wanted = pending.end(call)
                if error is not None:
                    reason = "it is gone" if is_engine_death(error) else describe_error(error)
                    logger.warning("An engine did not do its work: %s", reason)
                if is_engine_death(error):
                    self._callbacks.submit(_call_back, on_engine_death)
                if has_more or is_wanted:
                    self._callbacks.submit(_call_back, on_more)

            try:
                pending.add(call)
                client.submit(WORK, [spec, queue, call], call, sorted(targets or ()), on_end)
            except Exception as error:
                pending.end(call)
                raise ClusterUnavailable(
                    f"The controller of context {self._context!r} does not take work ({error}): "
                    f"{HINT}."
                ) from error

    def wait_for_change(self, heard: Wait, seconds: float | None) -> None:
        """Wait until a job may have changed that somebody listens to, or for some seconds."""
        heard(seconds)

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
            self._pending = defaultdict(PendingCalls)


def _call_back(callback: Callback) -> None:
    try:
        callback()
    except MoiError as error:
        logger.warning("Jobs are left to the reconciler: %s", error)
    except Exception:
        logger.exception("Jobs are left to the reconciler")


def connection_file(name: str) -> Path:
    """Return where the controller of a context leaves its address."""
    given = conf.context(name)
    if file := given.get("connection_file"):
        return Path(file).expanduser()
    cluster_id = given.get("cluster_id")
    client = f"ipcontroller-{cluster_id}-client.json" if cluster_id else "ipcontroller-client.json"
    return _profile_dir(given) / "security" / client


def contexts_beside(name: str) -> tuple[str, ...]:
    """Return the contexts that have the controller of one, and so its engines; itself, too."""
    file = connection_file(name).resolve()
    return tuple(other for other in conf.CONTEXTS if connection_file(other).resolve() == file)


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
    except (FileNotFoundError, NotADirectoryError):
        return None
    return (str(file), status.st_ino, status.st_mtime_ns)


def may_be_empty(context: str) -> bool:
    """Tell whether a context has no engine until jobs wait, as its settings say."""
    engines = (conf.CONTEXTS.get(context) or {}).get("ENGINES")
    return isinstance(engines, (tuple, list)) and list(engines[:1]) == [0]


def require_listener(name: str, file: Path) -> None:
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


_connections: dict[tuple[str, type[ClusterConnection]], ClusterConnection] = {}
_connections_lock = threading.Lock()
# A client of the parent process works no more here, and to destroy it could harm the parent's.
_inherited: list[ClusterConnection] = []


def get_connection(context: str) -> ClusterConnection:
    """Return the connection of this process to the cluster of a context.

    Raises UnknownContext when MOI["CONTEXTS"] has no such name.
    """
    is_immediate = conf.context(context).get("BACKEND") == "immediate"
    kind = import_module(IMMEDIATE).ImmediateConnection if is_immediate else ClusterConnection
    with _connections_lock:
        if (context, kind) not in _connections:
            _connections[context, kind] = kind(context)
        return _connections[context, kind]


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
