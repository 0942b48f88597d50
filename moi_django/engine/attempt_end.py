"""How an attempt at a job has ended, and how that is told."""

import signal
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

from moi_django.exceptions import JobCancelled, JobFailed, JobLost, JobTimedOut
from moi_django.models import State


class InterruptReason(Enum):
    """Why a job is interrupted."""

    # It was cancelled or removed, or is taken for lost.
    UNWANTED = "unwanted"
    TIMEOUT = "timeout"
    MEMORY = "memory"
    # It sent what it must not.
    BAD_MESSAGE = "bad message"


class Exit(NamedTuple):
    """How a process has ended."""

    # As `os.waitstatus_to_exitcode` has it: negative for a signal.
    code: int
    cpu_seconds: float
    # In bytes.
    peak_memory: int


@dataclass(frozen=True, slots=True)
class AttemptEnd:
    """How an attempt has ended."""

    # SUCCESS or FAILED; LOST for what is no fault of the job: the fork server or the engine has
    # died, or could not run it.
    state: State
    # What the function returned, as JSON has it, or why it did not.
    result: Any
    # MIME type -> data.
    display: dict[str, str] = field(default_factory=dict)
    # What the process and those it has waited for have used in this attempt.
    cpu_seconds: float = 0.0
    # In bytes; of the process so far, when it had other tasks before.
    peak_memory: int = 0
    # Why the job was interrupted, if it was.
    reason: InterruptReason | None = None
    # True when the process waits for another task.
    reusable: bool = False
    # Dotted path of the class of what the function raised, where that is known.
    exception: str | None = None


def class_path(kind: type) -> str:
    """Return the dotted path of a class."""
    return f"{kind.__module__}.{kind.__qualname__}"[:200]


def failure_class(state: State | None, exception: str | None) -> type[JobFailed]:
    """Return the error which says that a job, or an attempt, ended in a state without success."""
    if exception == class_path(JobTimedOut):
        return JobTimedOut
    return {State.LOST: JobLost, State.CANCELLED: JobCancelled}.get(
        state or State.FAILED, JobFailed
    )


def timeout_text(timeout: float, trace: object) -> str:
    """Return that an attempt took too long, after the traceback that says where it was."""
    text = f"TimeoutError: the job took longer than its {timeout:g} s."
    interrupted = isinstance(trace, str) and trace.endswith("KeyboardInterrupt")
    return f"{trace}\n\n{text}" if interrupted else text


def after_output(output: str, text: str) -> str:
    """Return a text after the last lines that a job printed."""
    output = output.strip()
    return f"It printed last:\n{output}\n\n{text}" if output else text


def exit_text(exit: Exit | None) -> str:
    """Return why a process has ended without a result; None when nobody knows."""
    if exit is None:
        return "The fork server was killed, or does not answer."
    if exit.code >= 0:
        return f"The job ended with exit code {exit.code} and no result."
    text = f"The job was killed by signal {-exit.code} ({_signal_name(-exit.code)})"
    if exit.code == -signal.SIGKILL:
        text += f": out of memory? It had up to {exit.peak_memory / 1e6:,.0f} MB"
    return f"{text}."


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "real-time"
