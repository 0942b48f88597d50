"""What runs on an engine: one job from its start to its end, without Django unless it is there.

Whatever the function does, the job gets an end: only the death of this process can prevent it.
"""

import logging
import os
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple

from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

from moi_django.engine.attachments import AttachmentStorage
from moi_django.engine.current import CurrentJob, enter_job
from moi_django.engine.encoding import ResultTooLarge, encode_result
from moi_django.engine.heartbeat import Heartbeat, InterruptReason
from moi_django.engine.invocation import call_as_job, format_error, job_environment
from moi_django.engine.log_writer import LogWriter
from moi_django.engine.output_capture import capture_output
from moi_django.engine.pickling import unpickle_call
from moi_django.engine.rich_display import display_forms, print_displayed
from moi_django.engine.status_writer import StatusWriter
from moi_django.exceptions import JobNotFound, StoreUnavailable
from moi_django.models import Info, State, now
from moi_django.options import Options
from moi_django.store import Store, StoreConfig
from moi_django.validation import escape_surrogates

logger = logging.getLogger(__name__)

PYTHON_VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
# Seconds for which a job that has come to an engine waits for a Redis that is away.
START_TIMEOUT = 30.0
# Variables with keys of the cluster: an engine needs them to start, and no job may show them.
SECRET_VARIABLES = ("IPP_CONNECTION_INFO", "IPP_CURVE_SECRETKEY")


class Outcome(NamedTuple):
    """How an attempt has ended."""

    state: State
    # What the function returned, as JSON has it, or the traceback of what it raised.
    result: Any


@dataclass(frozen=True, slots=True)
class Limits:
    """How long what a job leaves in Redis may be, in bytes; a status text in characters."""

    result: int
    status: int
    log: int
    display: int


@dataclass(frozen=True, slots=True)
class JobSpec:
    """What an engine has to know to run a job, besides the function and its arguments."""

    id: str
    attempt: int
    # Where the site keeps its jobs, as its engines reach it.
    store: StoreConfig
    context: str
    # When it was sent, by the clock of Redis.
    sent: float
    options: Options
    limits: Limits
    attachment_storage: AttachmentStorage
    # Seconds that an interrupted job has to end, and for which an end is tried to be written.
    grace: float
    patience: float
    # Version of the Python that pickled the function.
    python: str


def run_job(spec: JobSpec, payload: bytes) -> None:
    """Run the pickled (function, args, kwargs) and keep in Redis how it goes.

    Does nothing when the job was removed or ended while it was queued, or has been started.
    """
    for name in SECRET_VARIABLES:
        os.environ.pop(name, None)
    store = _open_store(spec.store)
    _retry_while_away(lambda: store.queue.arrive(spec.context, spec.sent), START_TIMEOUT)
    with suppress(JobNotFound):  # it was removed, so nobody asks for its end
        info = mark_running(store, spec, engine_id())
        if info is None:
            return
        heartbeat = _get_heartbeat(spec.store)
        with heartbeat.watch_over(
            info, spec.grace, partial(_write_stubborn_end, store, spec)
        ) as run:
            is_open = heartbeat.interruptible(run, spec.options.timeout)
            outcome = _run_function(store, spec, info, payload, is_open)
            if run.reason is InterruptReason.TIMEOUT:
                outcome = _timed_out(spec, outcome.result)
            write_end(store, spec, outcome)


def pulse(config: StoreConfig, context: str | None, sent: float) -> None:
    """Say that this engine has no job now, and how far the scheduler of a context has come."""
    store = _open_store(config)
    store.engines.mark_idle(engine_id())
    if context is not None:
        store.queue.arrive(context, sent)


@lru_cache(maxsize=8)
def _open_store(config: StoreConfig) -> Store:
    """Return the connection of this process: a fresh one for each job would double its cost."""
    return Store(config)


@lru_cache(maxsize=8)
def _get_heartbeat(config: StoreConfig) -> Heartbeat:
    return Heartbeat(_open_store(config), engine_id())


def engine_id() -> str:
    """Return the id under which ipyparallel knows this engine."""
    from ipykernel.kernelapp import IPKernelApp

    return str(IPKernelApp.instance().kernel.ident)


def mark_running(store: Store, spec: JobSpec, engine: str) -> Info | None:
    """Mark the job as running; return None when it is not to be run."""
    begun = now()

    def begin(info: Info) -> Info | None:
        if info.state is not State.QUEUED or info.attempt != spec.attempt:
            return None
        return info.changed(
            state=State.RUNNING, status=State.RUNNING.status, date_start=begun, engine=engine
        )

    info = _retry_while_away(lambda: store.jobs.change(spec.id, begin), START_TIMEOUT)
    mine = (info.state, info.date_start, info.engine) == (State.RUNNING, begun, engine)
    return info if mine else None


def _run_function(
    store: Store, spec: JobSpec, info: Info, payload: bytes, is_open: AbstractContextManager[None]
) -> Outcome:
    """Run the function and return how that has ended."""
    status_writer = StatusWriter(store, info, spec.limits.status)
    # All runs of a job share its log.
    heading = f"\nRun {info.attempt} of {info.attempts}\n" if info.attempt > 1 else ""
    log_writer = LogWriter(
        store.logs.open(info.id), spec.limits.log, status_writer.write_progress, heading
    )
    job = _make_current_job(store, spec, info, status_writer, log_writer)
    try:
        # An interrupt must not meet Django while that is set up for the first time, nor stdout
        # while it is put back.
        with (
            job_environment(),
            capture_output(log_writer.note_output),
            print_displayed(),
            is_open,
            enter_job(job),
        ):
            return _call_for_result(store, spec, job, payload)
    # SystemExit and KeyboardInterrupt end the job, not the engine.
    except BaseException as error:
        return Outcome(State.FAILED, failure_text(error, spec.limits.result))
    finally:
        # So that a job which has ended has said all.
        log_writer.close()


def _call_for_result(store: Store, spec: JobSpec, job: CurrentJob, payload: bytes) -> Outcome:
    if spec.python != PYTHON_VERSION:
        raise RuntimeError(
            f"The job was submitted by Python {spec.python} and this engine runs Python "
            f"{PYTHON_VERSION}: start engines with the Python of the site."
        )
    function, args, kwargs = unpickle_call(payload)
    value = call_as_job(job, function, args, kwargs)
    result = encode_result(value, spec.limits.result)
    if forms := display_forms(value, spec.limits.display):
        _retry_while_away(lambda: store.artifacts.save_display(spec.id, forms), spec.patience)
    return Outcome(State.SUCCESS, result)


def _make_current_job(
    store: Store, spec: JobSpec, info: Info, status_writer: StatusWriter, log_writer: LogWriter
) -> CurrentJob:
    def attach(name: str, content: Any) -> None:
        spec.attachment_storage.save(store, info.id, name, content)
        status_writer.write_attached()

    return CurrentJob(
        id=info.id,
        name=info.name,
        attempt=info.attempt,
        context=info.context,
        parent=info.parent,
        status_update=status_writer.status_update,
        _note_progress=log_writer.note_progress,
        _attach=attach,
    )


def write_end(store: Store, spec: JobSpec, outcome: Outcome) -> None:
    """Write how a run has ended: the end of the job, or that it is to be run again."""
    final = outcome.state is State.SUCCESS or spec.attempt >= spec.options.attempts

    def to_end(info: Info) -> Info | None:
        if info.state is not State.RUNNING or info.attempt != spec.attempt:
            return None
        if final:
            return info.ended(outcome.state, result=outcome.result)
        return info.requeued(State.FAILED, outcome.result)

    delay = spec.options.backoff_seconds(spec.attempt)
    # A result that took hours must outlive a restart of Redis.
    _retry_while_away(lambda: store.jobs.change(spec.id, to_end, delay=delay), spec.patience)


def _retry_while_away(act: Callable[[], Any], patience: float) -> Any:
    """Do something in Redis, and try again for `patience` seconds while that is away or full."""
    deadline = time.monotonic() + patience

    def unless_late(error: Exception) -> None:
        if time.monotonic() > deadline:
            raise error

    retry = Retry(ExponentialWithJitterBackoff(cap=2, base=0.1), -1, (StoreUnavailable,))
    return retry.call_with_retry(act, unless_late)


def _timed_out(spec: JobSpec, trace: object = None) -> Outcome:
    """Return the outcome of an attempt that took too long; `trace` says where it was."""
    reason = f"TimeoutError: the job took longer than its {spec.options.timeout:g} s."
    interrupted = isinstance(trace, str) and trace.endswith("KeyboardInterrupt")
    text = f"{trace}\n\n{reason}" if interrupted else reason
    return Outcome(State.FAILED, failure_text(text, spec.limits.result))


def _write_stubborn_end(store: Store, spec: JobSpec, reason: InterruptReason) -> None:
    """Write the end of a job whose engine is about to be killed because it would not stop."""
    if reason is InterruptReason.TIMEOUT:
        write_end(store, spec, _timed_out(spec))


def failure_text(error: BaseException | str, limit: int) -> str:
    """Return the result of a job that ended with an error: its traceback."""
    text = f"{error}" if isinstance(error, (str, ResultTooLarge)) else format_error(error)
    # The end of a traceback says what happened; each character may take 12 bytes of JSON.
    return escape_surrogates(text)[-max(limit // 12, 200) :]
