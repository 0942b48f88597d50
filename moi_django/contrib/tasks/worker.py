"""Run a task of Django's on an engine, in the process of its job."""

from typing import Any

from moi_django.contrib.tasks.interface import (
    TaskContext,
    TaskError,
    TaskResultStatus,
    normalize_json,
    task_finished,
    task_started,
)
from moi_django.contrib.tasks.results import UNKNOWN_WORKER, TaskCall, change, result_of, to_time
from moi_django.engine.attempt_end import class_path
from moi_django.engine.current import CurrentJob, current_job
from moi_django.engine.invocation import call_as_job, format_error
from moi_django.info_json import info_from_json
from moi_django.models import JOB, Info, State, now


def run_task(data: dict[str, Any]) -> Any:
    """Run what a TaskCall says, which is this job's, and send Django's signals of it."""
    job = current_job()
    assert job is not None  # noqa: S101 - nobody else calls this
    call, info = TaskCall.from_dict(data), _info_of(job)
    result = result_of(info, call)
    backend = type(result.task.get_backend())
    task_started.send(backend, task_result=result)
    try:
        value = _call(job, result)
    except BaseException as error:
        if info.attempt >= info.attempts:  # else it is to be run again
            failed = TaskError(
                exception_class_path=class_path(type(error)), traceback=format_error(error)
            )
            errors = [*result.errors, failed]
            change(result, status=TaskResultStatus.FAILED, finished_at=to_time(now()))
            change(result, errors=errors)
            task_finished.send(backend, task_result=result)
        raise
    change(result, status=TaskResultStatus.SUCCESSFUL, finished_at=to_time(now()))
    change(result, _return_value=value)
    task_finished.send(backend, task_result=result)
    return value


def _call(job: CurrentJob, result: Any) -> Any:
    task = result.task
    context = (TaskContext(task_result=result),) if task.takes_context else ()
    try:
        value = call_as_job(job, task.func, (*context, *result.args), result.kwargs)
    except SystemExit as error:
        if error.code:
            raise
        value = None  # a success, as with any job
    return normalize_json(value)


def _info_of(job: CurrentJob) -> Info:
    """Return the info object of the present attempt, also where no engine runs it."""
    if job.info_json:
        return info_from_json(job.info_json)
    attempt = {"attempt": job.attempt, "attempts": job.attempt}
    times = {"date_created": now(), "date_start": now(), "engine": UNKNOWN_WORKER}
    running: dict[str, Any] = {"state": State.RUNNING, **attempt, **times}
    return Info(id=job.id, name=job.name, type=JOB, pubsub=f"{job.id}:pubsub", **running)
