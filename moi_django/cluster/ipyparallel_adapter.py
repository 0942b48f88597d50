"""All that is known of ipyparallel's client, its private parts too, behind a few calls.

Nothing here waits for a lock or retries: `connections` does.
"""

import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

# A client remembers each task that it has sent, until as many have been sent and all but some of
# them are forgotten.
HISTORY_LENGTH, HISTORY_KEPT = 1000, 100

# What colours a traceback.
_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
# Called with what came of a task: what it returned, and its error or None.
OnEnd = Callable[[Any, BaseException | None], None]


class ClusterClient:
    """A client of one controller; as unsafe among threads as ipyparallel's own views."""

    def __init__(self, file: Path, timeout: float) -> None:
        """Connect to the controller that has left a file; raises what ipyparallel raises."""
        import ipyparallel
        import zmq

        client = ipyparallel.Client(str(file), timeout=timeout)
        # What jobs of all sites print would cost this process 0.2 ms of CPU for each task.
        unsubscribe = client._iopub_socket.setsockopt
        client._io_loop.add_callback(lambda: unsubscribe(zmq.UNSUBSCRIBE, b""))
        self._client = client
        self._socket = client.load_balanced_view()._socket

    @property
    def is_closed(self) -> bool:
        """True once it can be used no more."""
        return bool(self._client._closed)

    @property
    def engine_count(self) -> int:
        """How many engines the controller has told of."""
        return len(self._client.ids)

    def submit(
        self, function: str, args: list[Any], label: str, targets: list[str], on_end: OnEnd
    ) -> None:
        """Hand a task to the scheduler: a function by its dotted path, and its arguments.

        `targets` are the ids of the engines that may take it, none for any. Raises what ipyparallel
        raises.
        """
        import ipyparallel

        module, _, name = function.rpartition(".")
        # By name: a function would travel as code, which only equal Pythons can exchange.
        reference = ipyparallel.Reference(f"__import__({module!r}, fromlist=[{name!r}]).{name}")
        metadata = {
            "after": [],
            "follow": [],
            "timeout": 0.0,
            "targets": targets,
            "retries": 0,
            "label": label,
        }
        future = self._client.send_apply_request(self._socket, reference, args, metadata=metadata)
        future.add_done_callback(lambda future: self._finish(future, on_end))

    def _finish(self, future: Any, on_end: OnEnd) -> None:
        """Forget a task, which the client would keep for ever, and tell what came of it."""
        client = self._client
        for kept in (client._futures, client._output_futures, client.results, client.metadata):
            kept.pop(future.msg_id, None)
        if len(client.history) > HISTORY_LENGTH:
            del client.history[:-HISTORY_KEPT]
        error = future.exception()
        outcome = None if error else future.result()
        if isinstance(outcome, BaseException):
            outcome, error = None, outcome
        on_end(outcome, error)

    def request_engine_ids(self) -> Callable[[float], set[str] | None]:
        """Ask the controller for its engines; the function given waits seconds for their ids.

        It returns None when the controller says nothing. A client that waits for the controller's
        notices would not notice the controller's end.
        """
        client = self._client
        asked = client._send(client._query_stream, "connection_request")

        def wait(seconds: float) -> set[str] | None:
            if not asked.wait(seconds):
                client._futures.pop(asked.msg_id, None)
                return None
            return set(asked.result()["content"]["engines"].values())

        return wait

    def flush(self, timeout: float) -> None:
        """Wait until all that was sent has left this process."""
        if not self.is_closed:
            left = threading.Event()
            self._client._io_loop.add_callback(left.set)
            left.wait(timeout)

    def close_sockets(self) -> None:
        """Close all connections."""
        self._client.close()


def is_engine_death(error: BaseException | None) -> bool:
    """Tell whether a task came to nothing because its engine died."""
    return getattr(error, "ename", "") == "EngineError"


def describe_error(error: BaseException) -> str:
    """Return the traceback of what went wrong on an engine."""
    return _ESCAPES.sub("", getattr(error, "traceback", "") or str(error))
