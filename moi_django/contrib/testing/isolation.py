"""What the tests of a site use in the place of what its settings name."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

from asgiref.sync import sync_to_async

from moi_django.contrib.testing import private_redis, submissions
from moi_django.contrib.testing.job_files import directory as file_directory

__all__ = ["CallerThread", "context", "file_directory", "redis_url", "set_live_cluster"]

# What stands for a cluster that is not there.
NO_FILE = f"{os.devnull}/none"

_live_cluster: str | None = None


def isolate_children() -> None:
    """Let the programs that tests start have no business with the site either: conf heeds it."""
    os.environ["MOI_TEST_RUN"] = "1"


def redis_url() -> str:
    """Return the address of a Redis of this process. Raises NotRunning when none can be started."""
    isolate_children()
    submissions.observe()
    return private_redis.url()


def context() -> dict[str, Any]:
    """Return how the jobs of every context are run."""
    if _live_cluster is not None:
        return {"connection_file": _live_cluster}
    return {"BACKEND": "immediate", "connection_file": NO_FILE}


def set_live_cluster(connection_file: str | None) -> None:
    """Let jobs run on a cluster from now on, or in who submits them."""
    global _live_cluster
    _live_cluster = connection_file


class CallerThread(Executor):
    """Lets what a websocket asks for be done where a test has its database transaction."""

    def __init__(self, threads: int, thread_name_prefix: str) -> None:
        """Take what a pool of threads takes; there is but one."""

    def submit(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Do something in the thread in which Django does what is not asynchronous."""
        future = Future[Any]()
        task = asyncio.ensure_future(sync_to_async(work)(*args, **kwargs))
        task.add_done_callback(lambda task: _copy_outcome(task, future))
        return future


def _copy_outcome(task: asyncio.Task[Any], future: Future[Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    if task.cancelled():
        future.set_exception(asyncio.CancelledError())
    elif error := task.exception():
        future.set_exception(error)
    else:
        future.set_result(task.result())
