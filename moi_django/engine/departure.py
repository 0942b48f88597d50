"""Know whether this engine is to end: it claims nothing more, and its present job is its last."""

import signal
import threading

# Set once it is so.
leaving = threading.Event()


def ended_with_engine(code: int | None) -> bool:
    """Tell so of a process by its exit code; the signal may reach its engine a moment later."""
    return code is None or (code == -signal.SIGTERM and leaving.wait(0.5))
