"""Bring jobs to their engines, for the first time and again, and end those that got lost."""

import logging
import threading
from contextlib import suppress
from functools import partial

from moi_django.cluster import connections
from moi_django.cluster.payloads import Payload, verify_payload
from moi_django.conf import DEFAULT_CONTEXT, conf
from moi_django.engine.attachments import AttachmentStorage
from moi_django.engine.runner import JobSpec, Limits
from moi_django.exceptions import InvalidJob, JobNotFound, MoiError, PayloadRefused
from moi_django.models import Info, State
from moi_django.site_store import engine_store_config, get_store
from moi_django.store.queue import QueuedAttempt

logger = logging.getLogger(__name__)

ENGINE_GONE = "The engine that ran this job is gone."
END_UNKNOWN = (
    "The engine that ran this job runs it no more and could not write how it ended, as when Redis "
    'is away for longer than MOI["RESULT_PATIENCE"].'
)


def create_and_send(
    info: Info, payload: Payload, committed: bool = False, instead_of: str | None = None
) -> None:
    """Create a job and send it.

    When it cannot be sent it is removed and ClusterUnavailable raised; or, after the commit of the
    transaction it belongs to, or when it is the retry of another job, it is kept and ends as lost.
    Raises InvalidJob when that other one has been retried or removed meanwhile.
    """
    sent = get_store().jobs.create(info, payload.sign(info.id))
    if instead_of and not get_store().jobs.mark_retried(instead_of, info.id):
        get_store().tree.remove(info.id)
        raise InvalidJob(f"Job {instead_of} was retried or removed by somebody else just now.")
    try:
        _send_attempt(info, payload, sent)
    except MoiError as error:
        if not committed and not instead_of:
            get_store().tree.remove(info.id)
            raise
        # What was written with it stays, so the job does too, and says what happened to it.
        logger.error("Job %s could not be sent after it was created: %s", info.id, error)
        mark_lost(info.id, info.attempt, str(error))


def get_attachment_storage() -> AttachmentStorage:
    """Return where the files of jobs are kept."""
    return AttachmentStorage(conf.STORAGE, conf.FILE_LIMIT)


def _send_attempt(info: Info, payload: Payload, sent: float) -> None:
    spec = JobSpec(
        id=info.id,
        attempt=info.attempt,
        store=engine_store_config(),
        context=payload.context,
        sent=sent,
        options=payload.options,
        limits=Limits(conf.RESULT_LIMIT, conf.STATUS_LIMIT, conf.LOG_LIMIT, conf.DISPLAY_LIMIT),
        attachment_storage=get_attachment_storage(),
        grace=conf.CANCEL_GRACE,
        patience=conf.RESULT_PATIENCE,
        python=payload.python,
    )
    on_lost = partial(_on_task_lost, info.id, info.attempt)
    connections.get_connection(payload.context or DEFAULT_CONTEXT).send(spec, payload.call, on_lost)


def resend_attempt(attempt: QueuedAttempt) -> bool:
    """Send an attempt that is not with the scheduler; tell whether it was this call that did.

    An engine starts an attempt once, however often it was sent. Raises ClusterUnavailable; the
    attempt then waits to be found once more.
    """
    info = get_store().jobs.get(attempt.id)
    if info is None or info.state is not State.QUEUED or info.attempt != attempt.attempt:
        get_store().queue.discard(attempt)
        return False
    try:
        payload = verify_payload(info, get_store().jobs.payload(info.id))
    except PayloadRefused as error:
        _fail_refused(info, str(error))
        return False
    sent = get_store().queue.claim(attempt, info.context)
    if sent is None:
        return False
    _send_attempt(info, payload, sent)
    return True


def _fail_refused(info: Info, reason: str) -> None:
    """End a job whose function cannot be believed."""

    def to_end(present: Info) -> Info | None:
        if present.state is not State.QUEUED or present.attempt != info.attempt:
            return None  # it was started meanwhile, and then its function is dropped
        logger.error("%s", reason)
        return present.ended(State.FAILED, result=reason)

    with suppress(JobNotFound):
        get_store().jobs.change(info.id, to_end)


def mark_lost(id: str, attempt: int, reason: str) -> None:
    """End an attempt that got lost; the job is run again if it had begun and asked for that."""
    info = get_store().jobs.get(id)
    if info is None or info.finished or info.attempt != attempt:
        return
    payload = _rerun_payload(info)
    rerun = payload is not None and payload.options.retry_on_lost

    def to_end(info: Info) -> Info | None:
        if info.attempt != attempt:
            return None
        if rerun and info.state is State.RUNNING and info.attempt < info.attempts:
            return info.requeued(State.LOST, reason)
        return info.ended(State.LOST, result=reason)

    delay = payload.options.backoff_seconds(attempt) if payload else 0.0
    try:
        get_store().jobs.change(id, to_end, delay=delay)
    except JobNotFound:
        logger.info("Job %s was lost after its removal: %s", id, reason)


def _rerun_payload(info: Info) -> Payload | None:
    """Return the payload of a job that may be run again, if it is there and ours."""
    if info.attempt >= info.attempts:
        return None
    try:
        return verify_payload(info, get_store().jobs.payload(info.id))
    except PayloadRefused as error:
        logger.error("%s", error)
        return None


def _on_task_lost(id: str, attempt: int, reason: str, died: bool) -> None:
    """Act on what ipyparallel says of a task: it could not be run, or its engine died."""
    info = get_store().jobs.get(id)
    if info is None or info.attempt != attempt or info.finished:
        return
    if not died:
        mark_lost(id, attempt, reason)
    elif info.state is State.QUEUED:
        # It died before the job was started.
        if queued := get_store().queue.find_attempt(info, get_store().keys.waiting(info.context)):
            resend_attempt(queued)
    else:
        # An engine that the controller has given up may be alive: its lease tells.
        timer = threading.Timer(get_store().config.lease, _unless_alive, [info])
        timer.daemon = True
        timer.start()


def _unless_alive(info: Info) -> None:
    """End an attempt whose engine was reported dead, unless that still renews its lease."""
    try:
        attempt = get_store().queue.find_attempt(info, get_store().keys.running)
        if attempt is not None and attempt.at < get_store().connection.server_time():
            mark_lost(info.id, info.attempt, ENGINE_GONE)
    except MoiError as error:
        logger.warning("Cannot tell what became of job %s: %s", info.id, error)
