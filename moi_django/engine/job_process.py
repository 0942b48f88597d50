"""What runs in a job process: a task from its supervisor, or several, one after the other.

The process is a fresh fork and leads a session of its own, so a job finds all as in any program.
Whatever it does to that, it gets an end: from here, or from the supervisor when this process ends.
"""

import atexit
import ctypes
import logging
import os
import pickle
import resource
import signal
import sys
import termios
import threading
import traceback
import weakref
from _signal import getsignal, pthread_sigmask  # type: ignore[import-not-found] # faster
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from functools import lru_cache
from pkgutil import resolve_name
from typing import Any, NoReturn

from moi_django.engine.attempt_end import class_path
from moi_django.engine.current import CurrentJob, enter_job, surround
from moi_django.engine.encoding import encode_result
from moi_django.engine.invocation import call_as_job, explain_breakpoint, failure_text
from moi_django.engine.job_output import JobLogHandler, flush_streams, follow_logging, order
from moi_django.engine.job_reporter import JobReporter
from moi_django.engine.messages import MAX_TEXT, Connection, Task, encode, pop_message
from moi_django.engine.pickling import PYTHON_VERSION, unpickle_call
from moi_django.models import State

# Exit codes: of a process that leaves nothing running, that may, and whose own code has failed.
CLEAN, LEFT_SOMETHING, BROKEN = 93, 0, 70
# What gives (value, limit of bytes) -> the forms in which it can be shown, an optional part.
DISPLAY = "moi_django.contrib.displays.rich_display:display_forms"
# ru_maxrss is in kB, but in bytes on macOS.
RSS_UNIT = 1 if sys.platform == "darwin" else 1024
_SIGNALS = [int(number) for number in signal.valid_signals()]
_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36
# Bound before a job can replace them.
_exit, _signal, _getsignal, _sigmask = os._exit, signal.signal, getsignal, pthread_sigmask

# How many functions are called at exit without any of the job's.
_inherited_callbacks = 0
# To the supervisor of this process; None in the fork server.
_connection: Connection | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """What this process and those it has waited for have used."""

    # In seconds, and in bytes.
    cpu: float
    peak_memory: int

    @classmethod
    def now(cls) -> "Usage":
        both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        cpu = sum(usage.ru_utime + usage.ru_stime for usage in both)
        return cls(cpu, max(usage.ru_maxrss for usage in both) * RSS_UNIT)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt has ended: what the function returned, or the traceback of what it raised."""

    state: State
    result: Any
    display: dict[str, str]
    # Dotted path of the class of what it raised.
    exception: str | None = None

    def encode(self, before: Usage, lingers: bool) -> bytes:
        """Return the message that says so."""
        used = Usage.now()
        return encode(
            "outcome",
            success=self.state is State.SUCCESS,
            result=self.result,
            display=self.display,
            exception=self.exception,
            cpu_seconds=used.cpu - before.cpu,
            peak_memory=used.peak_memory,
            lingers=lingers,
        )


def run_job_process(parent: int, pipes: tuple[int, int, int], setup_error: str | None) -> NoReturn:
    """Run the tasks that come from the supervisor.

    `pipes` are the descriptors of stdout, stderr and of the socket to the supervisor. With a
    `setup_error` every task fails with that text.
    """
    code = BROKEN
    try:
        connection = _become_leader(parent, pipes)
        _rehearse(connection)
        code = _run_tasks(connection, setup_error)
    except BaseException:
        traceback.print_exc()
    finally:
        _exit(code)


def _rehearse(connection: Connection) -> None:
    """Use the memory that a task will use: what a fork shares is copied when it is first used.

    It leaves signals alone: an interrupt may be waiting for the task already.
    """
    nobody: dict[str, Any] = {"id": "", "name": "", "attempt": 1, "context": None, "parent": None}
    limits: Any = dict.fromkeys(("result_limit", "status_limit", "display_limit"), 100)
    call = pickle.dumps((len, ("",), {}))
    task = Task(payload=call, python=PYTHON_VERSION, **nobody, **limits)
    message = pop_message(bytearray(task.encode()))
    assert message is not None  # noqa: S101 - it is whole
    job = JobReporter(connection, Task.from_message(message)).make_current_job()
    with enter_job(job):
        outcome = run_call(job, task)
    flush_streams()
    outcome.encode(Usage.now(), _lingers())


def _await_task() -> None:
    """Let an interrupt wait for the start of a task."""
    _sigmask(signal.SIG_SETMASK, {signal.SIGINT})
    _signal(signal.SIGINT, signal.default_int_handler)


def _become_leader(parent: int, pipes: tuple[int, int, int]) -> Connection:
    global _connection
    os.setsid()
    adopt_orphans()
    follow_parent(parent, signal.SIGKILL)
    stdout, stderr, messages = pipes
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    os.close(stdout)
    os.close(stderr)
    os.set_inheritable(messages, False)
    for number in (signal.SIGTERM, signal.SIGCHLD):
        _signal(number, signal.SIG_DFL)
    if numbers := sys.modules.get("numpy.random"):
        numbers.seed()  # Python's own see to themselves
    _connection = Connection(messages)
    return _connection


def adopt_orphans() -> None:
    """Become the parent of what is orphaned below this process, on Linux."""
    if sys.platform == "linux":
        _load_prctl()(_SET_CHILD_SUBREAPER, 1)


def follow_parent(parent: int, number: signal.Signals) -> None:
    """Get a signal when the parent of this process dies, on Linux; end if it is dead already."""
    if sys.platform == "linux":
        _load_prctl()(_SET_PDEATHSIG, int(number))
    if os.getppid() != parent:
        _exit(BROKEN)


@lru_cache(maxsize=1)
def _load_prctl() -> Callable[..., int]:
    return ctypes.CDLL(None).prctl


def prepare_for_jobs() -> None:
    """Make a process such that those forked from it find all as in a program of their own."""
    global _inherited_callbacks
    resolve_name(DISPLAY)  # once for all of them
    atexit._clear()
    atexit.register(logging.shutdown)
    finalizers: Any = weakref.finalize
    finalizers._registry.clear()
    finalizers._registered_with_atexit = False
    if processes := sys.modules.get("multiprocessing.util"):
        processes._finalizer_registry.clear()
        atexit.register(processes._exit_function)
    if sys.breakpointhook is sys.__breakpointhook__ and "PYTHONBREAKPOINT" not in os.environ:
        sys.breakpointhook = explain_breakpoint
    _inherited_callbacks = atexit._ncallbacks()
    follow_logging(JobLogHandler(_write_log))


def _run_tasks(connection: Connection, setup_error: str | None) -> int:
    is_wanted = True
    while is_wanted and (message := connection.receive()) is not None:
        task = Task.from_message(message)
        connection.begin_task()
        usage = Usage.now()
        outcome = _run_task(connection, task, setup_error)
        flush_streams()
        close_database()
        is_wanted = task.reuse and connection.end_task()
        if is_wanted:
            _close_database_of_coroutines()
        # One that cannot be used again is waited for, so that it is not given another task.
        lingers = not is_wanted and (task.reuse or _lingers())
        connection.send(outcome.encode(usage, lingers))
        if is_wanted:
            _await_task()
    return _shut_down()


def _run_task(connection: Connection, task: Task, setup_error: str | None) -> Outcome:
    """Run a task. Nothing interrupts this process when it returns."""
    try:
        try:
            outcome, error = _call(connection, task, setup_error), None
        except BaseException as raised:
            outcome, error = failed_outcome(raised, task), raised
        _refuse_interrupts()
    except BaseException as raised:  # an interrupt meanwhile
        _refuse_interrupts()
        outcome, error = failed_outcome(raised, task), raised
    if not connection.is_own:
        _end_copy(error)
    return outcome


def _end_copy(error: BaseException | None) -> NoReturn:
    """End a process that the job has forked, and that has come here too, as Python does."""
    code = 1
    if error is None or (isinstance(error, SystemExit) and error.code is None):
        code = 0
    elif isinstance(error, SystemExit) and isinstance(error.code, int):
        code = error.code & 0xFF
    else:
        traceback.print_exception(error)
    flush_streams()
    _exit(code)


def _refuse_interrupts() -> None:
    """Let no handler of the job be called any more."""
    _sigmask(signal.SIG_BLOCK, _SIGNALS)
    for number in _SIGNALS:
        # Another thread may have got one meanwhile.
        while callable(_getsignal(number)):
            with suppress(BaseException):
                _signal(number, signal.SIG_IGN)


def _lingers() -> bool:
    """Tell whether something of the job goes on after its function."""
    threads = [each for each in threading.enumerate() if not each.daemon]
    return len(threads) > 1 or atexit._ncallbacks() > _inherited_callbacks or _has_children()


def _has_children() -> bool:
    """Tell whether something that the job has started still runs: all of it has this ancestor."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _shut_down() -> int:
    """Do what Python does at the end of a program; return the exit code."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    if tracker := sys.modules.get("multiprocessing.resource_tracker"):
        tracker._resource_tracker._stop()  # before it is killed: it unlinks what is left
    flush_streams()
    return LEFT_SOMETHING if _has_children() else CLEAN


def close_database() -> None:
    """Close the connections of Django, where it is used."""
    if "django.db" in sys.modules:
        from django.db import connections

        with suppress(Exception):
            connections.close_all()


def _close_database_of_coroutines() -> None:
    """Close those of the thread in which asgiref does for coroutines what is not asynchronous."""
    module = sys.modules.get("asgiref.sync")
    executor = module and module.SyncToAsync.single_thread_executor
    if executor is not None and executor._threads:
        with suppress(Exception):  # the job has it still busy, or has shut it down
            executor.submit(close_database).result(1)


def _call(connection: Connection, task: Task, setup_error: str | None) -> Outcome:
    if setup_error is not None:
        return failed_outcome(setup_error, task)
    if task.python != PYTHON_VERSION:
        return failed_outcome(
            f"RuntimeError: The job was submitted by Python {task.python} and this engine runs "
            f"Python {PYTHON_VERSION}: start engines with the Python of the site.",
            task,
        )
    # From its beginning on an interrupt reaches the function.
    return run_task(JobReporter(connection, task), task, lambda: _sigmask(signal.SIG_SETMASK, ()))


def run_task(reporter: JobReporter, task: Task, begin: Callable[[], object]) -> Outcome:
    """Call the function of a task as that of the current job, after `begin`; raises as it does."""
    job = reporter.make_current_job()
    with enter_job(job), surround(job), closing(reporter), ExitStack() as around:
        for path, given in task.around.items():
            around.enter_context(resolve_name(path)(given))
        begin()
        return run_call(job, task)


def run_call(job: CurrentJob, task: Task) -> Outcome:
    """Call the function of a task; raises what that raises, or what its result does."""
    function, args, kwargs = unpickle_call(task.payload, task.inputs)
    value = call_as_job(job, function, args, kwargs)
    result = encode_result(value, task.result_limit)
    return Outcome(State.SUCCESS, result, resolve_name(DISPLAY)(value, task.display_limit))


def failed_outcome(error: BaseException | str, task: Task) -> Outcome:
    """Return how a job ends with an error; with code 0 or none, `sys.exit` is success."""
    if isinstance(error, SystemExit) and (error.code is None or error.code == 0):
        return Outcome(State.SUCCESS, None, {})
    text = failure_text(error, task.result_limit)
    if isinstance(error, SystemExit):
        text = failure_text(
            f"{text}\n\nThe job called sys.exit({error.code!r}).", task.result_limit
        )
    kind = RuntimeError if isinstance(error, str) else type(error)
    return Outcome(State.FAILED, text, {}, class_path(kind))


def _write_log(text: str) -> None:
    """Hand what is logged on, after what was printed; a fork of the job has only its stderr."""
    if _connection is None or not _connection.is_own:
        sys.stderr.write(text)
        return
    order.switch_to(_connection.descriptor, termios.TIOCOUTQ)
    for start in range(0, len(text), MAX_TEXT):
        _connection.send(encode("log", text=text[start : start + MAX_TEXT]))
