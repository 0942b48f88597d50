"""One attempt at a job, from its claim to its end in Redis, and what runs beside it.

Whatever the function does, the job gets an end: only the death of this process can prevent it.
"""

import json
import logging
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

from moi_django.engine.attempt_end import AttemptEnd, class_path
from moi_django.engine.current import ProgressUpdate, check_checkpoint
from moi_django.engine.heartbeat import Heartbeat
from moi_django.engine.log_writer import LogWriter
from moi_django.engine.messages import Task
from moi_django.engine.payloads import Payload, verify_payload
from moi_django.engine.pickling import PYTHON_VERSION
from moi_django.engine.process_pool import ProcessPool
from moi_django.engine.status_writer import StatusWriter
from moi_django.engine.supervisor import Supervisor
from moi_django.engine.work_spec import WorkSpec
from moi_django.exceptions import JobNotFound, NoProcess, PayloadRefused, StoreUnavailable
from moi_django.models import Info, State, about, now
from moi_django.store import Store
from moi_django.store.queue import Claim, Worker, split_queue

logger = logging.getLogger(__name__)

# Seconds between two looks at whether a job that is waited for has come into the queue, and for
# which it is tried to claim it when Redis does not answer.
WAIT_INTERVAL, CLAIM_PATIENCE = 0.5, 10.0
# Bytes of JSON of the results that one job gets as arguments.
MAX_INPUTS = 100_000_000
# How many jobs run at once beside one that waits for them in threads.
MAX_BESIDE = 4


@dataclass(frozen=True, slots=True)
class Resources:
    """What the attempts of one call to a queue have in common."""

    spec: WorkSpec
    worker: Worker
    store: Store
    heartbeat: Heartbeat
    pool: ProcessPool


class AttemptRunner:
    """One attempt at a job, from its claim to its end in Redis; takes what the job says."""

    def __init__(self, claim: Claim, resources: Resources) -> None:
        self._claim, self._resources = claim, resources
        self._spec, self._store, self._pool = resources.spec, resources.store, resources.pool
        self._payload: Payload | None = None
        info, store, spec = claim.info, self._store, self._spec
        self._status_writer = StatusWriter(store, info, spec.limits.status)
        # All attempts at a job share its log.
        heading = f"\nRun {info.attempt} of {info.attempts}\n" if info.attempt > 1 else ""
        log, limit = store.logs.open(info.id), spec.limits.log
        self._log_writer = LogWriter(log, limit, heading, about(info))
        # Those whose job is waited for now, by its id; and all that may still run one.
        self._waits: dict[str, Companion] = {}
        self._companions: list[Companion] = []
        self._beside = threading.BoundedSemaphore(MAX_BESIDE)
        self._status_before, self._code = "", resources.heartbeat.code
        self._lease = resources.heartbeat.watch_over(info)

    @property
    def has_companions(self) -> bool:
        """True when a job that this one waited for may still run here."""
        return any(companion.is_alive() for companion in self._companions)

    def run(self) -> AttemptEnd:
        """Run the function in a process; return how that has ended."""
        info = self._claim.info
        try:
            self._payload = self._verify_payload()
            end = self._run_task(self._payload)
        except PayloadRefused as error:
            logger.error("%s", error, extra=about(info))
            end = AttemptEnd(State.FAILED, str(error), exception=class_path(PayloadRefused))
        except NoProcess:
            self._put_back()
            raise
        except Exception as error:
            logger.exception("Job %s could not be run", info.id, extra=about(info))
            end = AttemptEnd(State.LOST, f"The engine could not run this job: {error!r}")
        # So that a job which has ended has said all.
        self._log_writer.close()
        self._retry(lambda: self._log_writer.write_latest("checkpoint"))
        if end.display:
            self._retry(lambda: self._store.artifacts.save_display(info.id, end.display))
        return end

    def _run_task(self, payload: Payload) -> AttemptEnd:
        task, options = self._task(payload), payload.options
        with self._pool.lend(options.process, self._claim.info.owner) as loan:
            supervisor = Supervisor(
                loan.process,
                task,
                self,
                timeout=options.timeout,
                grace=self._spec.grace,
                memory_limit=self._spec.memory_limit,
            )
            self._lease.interrupt_with(supervisor.interrupt)
            end = supervisor.run()
            loan.is_reusable, loan.is_orphaned = end.reusable, end.state is State.LOST
        return end

    def _verify_payload(self) -> Payload:
        info = self._claim.info
        payload = verify_payload(info, self._claim.payload, self._spec.keys)
        if payload.context not in self._spec.contexts:
            raise PayloadRefused(
                f"Job {info.id} was submitted to the context {payload.context!r}, and was found in "
                "the queue of another one. It is not run."
            )
        return payload

    def _put_back(self) -> None:
        """Let the attempt wait again, which has not begun, for an engine that has a process."""

        def waiting(info: Info) -> Info | None:
            if not self._is_this(info):
                return None
            queued = {"state": State.QUEUED, "status": State.QUEUED.status}
            return info.changed(**queued, date_start=None, engine=None)

        with suppress(JobNotFound):
            self._retry(lambda: self._store.jobs.change(self._claim.info.id, waiting))

    def close(self) -> None:
        """Wait for what runs beside it, and let its lease go."""
        # A job that was killed has not said that it waits no more.
        for companion in self._companions:
            companion.stop()
        for companion in self._companions:
            companion.join()
        self._lease.close()

    def _load_inputs(self, payload: Payload) -> dict[str, Any]:
        """Return the results of other jobs that the job gets."""
        if not payload.inputs:
            return {}
        inputs = self._retry(lambda: self._store.dependencies.inputs(payload.inputs))
        if (length := len(json.dumps(inputs))) > MAX_INPUTS:
            raise PayloadRefused(
                f"The results that job {self._claim.info.id} gets as arguments take {length:,} "
                f"bytes of JSON; {MAX_INPUTS:,} are the most. Let the jobs before it attach files."
            )
        return inputs

    def _task(self, payload: Payload) -> Task:
        info, limits, kept = self._claim.info, self._spec.limits, self._claim.checkpoint
        return Task(
            id=info.id,
            name=info.name,
            attempt=info.attempt,
            context=info.context,
            parent=info.parent,
            payload=payload.call,
            python=payload.python,
            result_limit=limits.result,
            status_limit=limits.status,
            display_limit=limits.display,
            reuse=payload.options.process is not None,
            inputs=self._load_inputs(payload),
            around=payload.around,
            checkpoint=None if kept is None else check_checkpoint(info, kept),
            info=info.to_json() if info.task else None,
            **payload.options.caller,
        )

    # Its end

    def write_end(self, end: AttemptEnd) -> None:
        """Write how it has ended: the end of the job, or that it is to be run again."""
        # A result that took hours must outlive a restart of Redis.
        self._retry(partial(self._change_to_end, end))

    def _change_to_end(self, end: AttemptEnd) -> None:
        id = self._claim.info.id
        try:
            self._store.jobs.change(id, partial(self._ended, end), delay=self._delay(end))
        except JobNotFound:  # it was removed, and may have printed since
            self._store.artifacts.delete_all(id)

    def write_end_and_claim(self, end: AttemptEnd, worker: Worker) -> Claim | None:
        """Do what `write_end` does, and claim the next attempt, in one round trip."""
        token = new_token()
        before = self._status_writer.info
        after = self._ended(end, before)
        if after is None:  # it was cancelled or removed, or is taken for lost
            self.write_end(end)
            return self._retry(lambda: self._store.queue.claim(worker, token, now()))
        is_written, claim = self._retry(
            lambda: self._store.queue.replace_and_claim(
                before, after, self._delay(end), worker, token, now()
            )
        )
        if not is_written:  # somebody else has changed it meanwhile
            self.write_end(end)
        return claim

    def _ended(self, end: AttemptEnd, info: Info) -> Info | None:
        if not self._is_this(info):
            return None
        used: dict[str, Any] = {"peak_memory": end.peak_memory, "engine_code": self._code}
        used["cpu_seconds"] = round(end.cpu_seconds, 4)
        if self._is_final(end):
            return info.ended(end.state, result=end.result, exception=end.exception, **used)
        return info.changed(**used).requeued(end.state, end.result, end.exception)

    def _is_this(self, info: Info) -> bool:
        """Tell whether a job is still in this attempt."""
        return info.state is State.RUNNING and info.attempt == self._claim.info.attempt

    def _is_final(self, end: AttemptEnd) -> bool:
        info, payload = self._claim.info, self._payload
        if end.state is State.SUCCESS or info.attempt >= info.attempts or payload is None:
            return True
        return end.state is State.LOST and not payload.options.retry_on_lost

    def _delay(self, end: AttemptEnd) -> float:
        if self._payload is None:
            return 0.0
        return self._payload.options.backoff_seconds(self._claim.info.attempt)

    def _retry(self, operation: Callable[[], Any]) -> Any:
        return retry_while_away(operation, self._spec.patience)

    # What the job says: see `supervisor.Listener`

    def write_output(self, stream: str, text: str) -> None:
        """Keep what was printed."""
        self._log_writer.note_output(stream, text)

    def write_status(self, text: str) -> None:
        """Show a status text."""
        self._status_writer.write_status(text)

    def write_progress(self, update: ProgressUpdate) -> None:
        """Show how far it is."""
        self._log_writer.note_latest("progress", self._status_writer.write_progress, update)

    def write_checkpoint(self, json: str) -> None:
        """Keep where the next attempt is to go on."""
        save, info = self._store.artifacts.save_checkpoint, self._claim.info
        self._log_writer.note_latest("checkpoint", save, info.id, info.attempt, json)

    def attach(self, name: str, content: bytes | Path) -> None:
        """Keep a file."""
        self._spec.attachment_storage.save(self._store, self._claim.info.id, name, content)
        if not self._status_writer.write_attached():
            self._store.artifacts.delete_all(self._claim.info.id)

    def wait_for(self, id: str) -> None:
        """Say so, and run the awaited job here if it waits for an engine."""
        if companion := self._waits.get(id):
            companion.waits += 1
            return
        name = "another job"
        with suppress(StoreUnavailable):
            awaited = self._store.jobs.get(id)
            if awaited is None or awaited.finished:
                return
            name = awaited.name
        if not self._waits:
            self._status_before = self._status_writer.info.status
        companion = Companion(id, name, self._resources, self._beside)
        self._waits[id] = companion
        self._companions = [each for each in self._companions if each.is_alive()]
        self._companions.append(companion)
        companion.start()
        self._status_writer.write_status(companion.status)

    def wait_over(self, id: str) -> None:
        """Show the status from before; what runs here goes on to its end."""
        companion = self._waits.get(id)
        if companion is None:
            return
        companion.waits -= 1
        if companion.waits:
            return
        companion.stop()
        del self._waits[id]
        if self._status_writer.info.status.startswith("Waits for "):
            others = [each.status for each in self._waits.values()]
            self._status_writer.write_status([self._status_before, *others][-1])


class Companion(threading.Thread):
    """Runs a job that another one waits for beside it, when no other engine has taken it."""

    # Several in one engine may want the same job.
    _claiming = threading.Lock()

    def __init__(
        self, id: str, name: str, resources: Resources, beside: threading.BoundedSemaphore
    ) -> None:
        super().__init__(daemon=True, name="moi-companion")
        self._id, self._resources, self._store = id, resources, resources.store
        # Held by those that run a job.
        self._beside = beside
        # What the waiting job shows, and how many of its threads wait.
        self.status, self.waits = f"Waits for {name}", 1
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Claim it no more."""
        self._stopped.set()

    def run(self) -> None:
        """Claim and run it, also when it is run again, until it has ended."""
        extra = {"job_id": self._id, "context": None}
        while not self._stopped.is_set():
            try:
                info = self._store.jobs.get(self._id)
                if info is None or info.finished:
                    return
                needed = self._store.dependencies.needed_for(info)
                if any(map(self._run_if_waiting, needed)):
                    continue
            except (StoreUnavailable, NoProcess) as error:
                logger.warning("Cannot run job %s beside: %s", self._id, error, extra=extra)
            except Exception:
                logger.exception("Cannot run job %s beside another", self._id, extra=extra)
            self._stopped.wait(WAIT_INTERVAL)

    def _run_if_waiting(self, info: Info) -> bool:
        if info.state is not State.QUEUED or not self._is_for_this_engine(info):
            return False
        if not self._beside.acquire(blocking=False):
            return False
        try:
            if (attempt := self._claim(info)) is None:
                return False
            with closing(attempt):
                attempt.write_end(attempt.run())
        finally:
            self._beside.release()
        return True

    def _is_for_this_engine(self, info: Info) -> bool:
        context, python = split_queue(info.queue)
        return python == PYTHON_VERSION and context in self._resources.spec.contexts

    def _claim(self, info: Info) -> AttemptRunner | None:
        with self._claiming:
            # What is claimed is handed out again to its engine, should an answer get lost.
            if self._stopped.is_set() or self._resources.heartbeat.watches_over(info):
                return None
            claim: Claim | None = retry_while_away(
                lambda: self._store.queue.claim_by_id(info, self._resources.worker.engine, now()),
                CLAIM_PATIENCE,
            )
            return claim and AttemptRunner(claim, self._resources)


def new_token() -> str:
    """Return what tells one claim from another."""
    return uuid.uuid4().hex


def retry_while_away(operation: Callable[[], Any], patience: float) -> Any:
    """Do something in Redis, and try again for `patience` seconds while that is away or full."""
    try:
        return operation()
    except StoreUnavailable as error:
        logger.warning("Redis is waited for: %s", error)
    deadline = time.monotonic() + patience

    def unless_late(error: Exception) -> None:
        if time.monotonic() > deadline:
            raise error

    retry = Retry(ExponentialWithJitterBackoff(cap=2, base=0.1), -1, (StoreUnavailable,))
    return retry.call_with_retry(operation, unless_late)
