"""Send jobs to clusters: the only module that imports ipyparallel's client.

One client per context and process, opened when first used, shared by all threads behind a lock
(ipyparallel's views are not safe without one), left alone after a fork, reopened when the
controller was started anew.
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

from moi_django.conf import conf
from moi_django.engine.runner import JobSpec
from moi_django.exceptions import ClusterUnavailable
from moi_django.store import StoreConfig

logger = logging.getLogger(__name__)

# Called with the reason when a task has come to nothing, and whether its engine died.
OnLost = Callable[[str, bool], None]

HINT = "start one with `python manage.py moi up`, or name yours in MOI['CONTEXTS']"


class Context:
    """The connection of this process to one cluster."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._lock = threading.RLock()
        self._client: Any = None
        self._socket: Any = None
        self._stamp: object = None
        # Redis must not be written from ipyparallel's IO thread: it would stall every message.
        self._aside = ThreadPoolExecutor(1, thread_name_prefix=f"moi-{name}")

    def connect(self) -> None:
        """Connect unless that is done.

        Raises ClusterUnavailable when there is no controller or it has no engine.
        """
        with self._lock:
            file = connection_file(self.name)
            stamp = _stamp(file)
            if self._client is None or self._client._closed or stamp != self._stamp:
                self._drop()
                self._open(file, stamp)
            if not self._client.ids:
                raise ClusterUnavailable(
                    f"The cluster of context {self.name!r} has no engine: start some with "
                    "`ipcluster engines`, or all of it with `python manage.py moi up`."
                )

    def _open(self, file: Path, stamp: object) -> None:
        if stamp is None:
            raise ClusterUnavailable(
                f"No cluster for context {self.name!r} (there is no {file.name}): {HINT}."
            )
        _probe(self.name, file)
        import ipyparallel
        import zmq

        try:
            client = ipyparallel.Client(str(file), timeout=conf.CLUSTER_TIMEOUT)
        except Exception as error:
            raise ClusterUnavailable(
                f"The controller of context {self.name!r} does not answer ({error}): {HINT}."
            ) from error
        # What jobs of all sites print would cost this process 0.2 ms of CPU for each task.
        unsubscribe = client._iopub_socket.setsockopt
        client._io_loop.add_callback(lambda: unsubscribe(zmq.UNSUBSCRIBE, b""))
        self._client, self._stamp = client, stamp
        self._socket = client.load_balanced_view()._socket

    def send(self, spec: JobSpec, payload: bytes, on_lost: OnLost) -> None:
        """Hand a job to the scheduler; `on_lost` hears when it has come to nothing.

        Raises ClusterUnavailable as `connect` does.
        """
        self._task("run_job", [spec, payload], spec.id, [], on_lost)

    def pulse(self, config: StoreConfig, sent: float, engine: str | None = None) -> None:
        """Let an engine say that it has no job, and how far the scheduler has come.

        `engine` is the id of a certain one, which is asked besides the queue of all. Raises
        ClusterUnavailable as `connect` does.
        """
        context = None if engine else self.name
        targets = [engine] if engine else []
        self._task("pulse", [config, context, sent], "pulse", targets, lambda reason, died: None)

    def engines(self) -> set[str] | None:
        """Return the ids of the engines that the controller has, none when that is gone.

        Returns None when it is there and does not answer. A client that waits for the controller's
        notices would not notice the controller's end.
        """
        try:
            with self._lock:
                self.connect()
                client = self._client
                asked = client._send(client._query_stream, "connection_request")
        except ClusterUnavailable:
            return set()
        if not asked.wait(conf.CLUSTER_TIMEOUT):
            client._futures.pop(asked.msg_id, None)
            return None
        return set(asked.result()["content"]["engines"].values())

    def _task(
        self, name: str, args: list[Any], label: str, targets: list[str], on_lost: OnLost
    ) -> None:
        with self._lock:
            self.connect()
            client = self._client
            future = self._apply(client, name, args, label, targets)
        future.add_done_callback(lambda future: self._done(client, future, on_lost))

    def _apply(
        self, client: Any, name: str, args: list[Any], label: str, targets: list[str]
    ) -> Any:
        import ipyparallel

        # By name: a function would travel as code, which only equal Pythons can exchange.
        function = ipyparallel.Reference(
            f"__import__('moi_django.engine.runner', fromlist=['{name}']).{name}"
        )
        try:
            return client.send_apply_request(
                self._socket,
                function,
                args,
                metadata={
                    "after": [],
                    "follow": [],
                    "timeout": 0.0,
                    "targets": targets,
                    "retries": 0,
                    "label": label,
                },
            )
        except Exception as error:
            raise ClusterUnavailable(
                f"The controller of context {self.name!r} does not take jobs ({error}): {HINT}."
            ) from error

    def _done(self, client: Any, future: Any, on_lost: OnLost) -> None:
        """Forget a task, which the client would keep for ever, and tell when it was lost."""
        for kept in (client._futures, client._output_futures, client.results, client.metadata):
            kept.pop(future.msg_id, None)
        if len(client.history) > 1000:
            del client.history[:-100]
        outcome = future.exception() or future.result()
        if isinstance(outcome, BaseException):
            died = getattr(outcome, "ename", "") == "EngineError"
            self._aside.submit(_report, on_lost, str(outcome), died)

    def flush(self) -> None:
        """Wait until all that was sent has left this process, and finish what is set aside."""
        with self._lock:
            client = self._client
            if client is not None and not client._closed:
                left = threading.Event()
                client._io_loop.add_callback(left.set)
                left.wait(conf.CLUSTER_TIMEOUT)
            self._drop()
        self._aside.shutdown()

    def _drop(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = self._socket = None


def _report(on_lost: OnLost, reason: str, died: bool) -> None:
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


def _stamp(file: Path) -> object:
    """Return what tells one controller's file from the next one's; None when there is none."""
    try:
        status = file.stat()
    except FileNotFoundError:
        return None
    return (str(file), status.st_ino, status.st_mtime_ns)


def _probe(name: str, file: Path) -> None:
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


_contexts: dict[str, Context] = {}
_contexts_lock = threading.Lock()
# A client of the parent process works no more here, and to destroy it could harm the parent's.
_inherited: list[Context] = []


def context(name: str) -> Context:
    """Return the connection of this process to a cluster.

    Raises UnknownContext when MOI["CONTEXTS"] has no such name.
    """
    conf.context(name)
    with _contexts_lock:
        if name not in _contexts:
            _contexts[name] = Context(name)
        return _contexts[name]


def close() -> None:
    """Deliver what was sent and close every connection: without it, the last jobs were lost."""
    with _contexts_lock:
        contexts = list(_contexts.values())
        _contexts.clear()
    for each in contexts:
        each.flush()


def _after_fork() -> None:
    global _contexts_lock
    _contexts_lock = threading.Lock()
    _inherited.extend(_contexts.values())
    _contexts.clear()


atexit.register(close)
os.register_at_fork(after_in_child=_after_fork)
