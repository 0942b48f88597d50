"""What is to be done at the end of a process of tests."""

from collections.abc import Callable
from multiprocessing.util import Finalize


def at_process_end(callback: Callable[[], object]) -> None:
    """Call something when this process ends, also one of a parallel test run.

    Those do nothing of what is registered with atexit.
    """
    Finalize(None, callback, exitpriority=0)
