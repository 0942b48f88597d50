"""What is known of a job, as Django's interface has it: the result of a task."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Self

from django.conf import settings
from django.utils import timezone
from django.utils.module_loading import import_string

from moi_django.contrib.tasks.interface import InvalidTask, Task, TaskError, TaskResult
from moi_django.contrib.tasks.interface import TaskResultStatus as Status
from moi_django.engine.attempt_end import class_path, failure_class
from moi_django.models import Info, State

STATUSES = {
    State.QUEUED: Status.READY,
    State.RUNNING: Status.RUNNING,
    State.SUCCESS: Status.SUCCESSFUL,
}
# What stands for a worker of which nobody knows any more.
UNKNOWN_WORKER = "unknown"


@dataclass(frozen=True, slots=True)
class TaskCall:
    """A task and its arguments, as a job carries them: engines import the task by its path."""

    path: str
    backend: str
    queue_name: str
    priority: int
    run_after: datetime | None
    # Values of JSON.
    args: list[Any]
    kwargs: dict[str, Any]

    @classmethod
    def of(cls, task: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Self:
        """Return what a job carries; raises InvalidTask when it could not be imported."""
        path = task.module_path
        try:
            found = import_string(path)
        except ImportError as error:
            raise InvalidTask(f"Engines import a task by its path: {error}") from error
        if getattr(found, "func", None) != task.func:
            raise InvalidTask(
                f"Engines import a task by its path, and {path!r} is not this one: give it the "
                "name of its function."
            )
        how = (task.backend, task.queue_name, int(task.priority), task.run_after)
        return cls(path, *how, list(args), kwargs)

    def load_task(self) -> Any:
        """Import the task; raises ImportError when it is gone, InvalidTask when it is none."""
        task = import_string(self.path)
        if not isinstance(task, Task):
            raise InvalidTask(f"{self.path!r} is no task any more.")
        changes = {"backend": self.backend, "queue_name": self.queue_name}
        return replace(task, priority=self.priority, run_after=self.run_after, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Return it as it is pickled, for versions to come."""
        time = self.run_after
        return {**asdict(self), "run_after": time and time.isoformat()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Return what `to_dict` has made."""
        time = data["run_after"]
        return cls(**{**data, "run_after": time and datetime.fromisoformat(time)})


def new_result(task: Any, backend: str, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Return the result of a task that is to be enqueued.

    Raises TypeError or ValueError for arguments that JSON cannot carry.
    """
    return TaskResult(
        task=task,
        id="",
        status=Status.READY,
        enqueued_at=None,
        started_at=None,
        last_attempted_at=None,
        finished_at=None,
        args=args,
        kwargs=kwargs,
        backend=backend,
        errors=[],
        worker_ids=[],
    )


def result_of(info: Info, call: TaskCall) -> Any:
    """Return the result of the task that a job runs, as the job is now."""
    result = new_result(call.load_task(), call.backend, call.args, call.kwargs)
    starts = [each.date_start for each in info.runs] + [info.date_start]
    change(
        result,
        id=info.id,
        status=STATUSES.get(info.state or State.QUEUED, Status.FAILED),
        enqueued_at=to_time(info.date_created),
        started_at=to_time(next(filter(None, starts), None)),
        last_attempted_at=to_time(next(filter(None, reversed(starts)), None)),
        finished_at=to_time(info.date_end),
        errors=_errors_of(info),
        worker_ids=_workers_of(info),
        _return_value=info.result if info.state is State.SUCCESS else None,
    )
    return result


def change(result: Any, **fields: Any) -> None:
    """Set fields of a result, which Django has frozen for others."""
    for name, value in fields.items():
        object.__setattr__(result, name, value)


def to_time(date: str | None) -> datetime | None:
    """Return a time of an info object as Django's settings want times to be."""
    if date is None:
        return None
    time = datetime.fromisoformat(date).replace(tzinfo=UTC)
    return time if settings.USE_TZ else timezone.make_naive(time)


def _errors_of(info: Info) -> list[Any]:
    errors = [_error_of(each.state, each.exception, each.error) for each in info.runs]
    if info.finished and info.state is not State.SUCCESS:
        text = info.result if isinstance(info.result, str) else f"The job was {info.state}."
        errors.append(_error_of(info.state, info.exception, text))
    return errors


def _error_of(state: State | None, exception: str | None, text: str) -> Any:
    path = exception or class_path(failure_class(state, exception))
    return TaskError(exception_class_path=path, traceback=text)


def _workers_of(info: Info) -> list[str]:
    """Return who has run it, one for each attempt that has begun."""
    known = [each.ran_on or UNKNOWN_WORKER for each in info.runs]
    forgotten = [UNKNOWN_WORKER] * (info.attempt - 1 - len(known))
    present = [info.engine or UNKNOWN_WORKER] if info.date_start else []
    return [*forgotten, *known, *present]
