"""The backend: it sends tasks as jobs, and reads their results."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

from django.core.checks import CheckMessage
from django.utils import timezone

from moi_django.conf import DEFAULT_CONTEXT, NO_USER, conf
from moi_django.contrib.tasks.checks import check_options
from moi_django.contrib.tasks.interface import (
    DEFAULT_TASK_QUEUE_NAME,
    BaseTaskBackend,
    InvalidTask,
    Task,
    TaskContext,
    TaskResultDoesNotExist,
    task_enqueued,
)
from moi_django.contrib.tasks.results import TaskCall, change, new_result, result_of, to_time
from moi_django.contrib.tasks.worker import run_task
from moi_django.engine.pickling import unpickle_call
from moi_django.exceptions import PayloadRefused
from moi_django.options import Options
from moi_django.validation import is_uuid

# The Python API is imported when it is used: this module is imported by whoever imports a task, as
# each job that runs one.


@dataclass(frozen=True, slots=True, kw_only=True)
class MoiTask(Task):
    """A task that may say whose job it is, and how it is to be run."""

    # As `submit` takes it; None: the OWNER of the backend.
    owner: Any = None
    # None: the JOB of the backend.
    options: Options | None = None

    def using(self, *, owner: Any = None, options: Options | None = None, **changes: Any) -> Any:
        """Return a copy that has another owner, other options, or whatever Django lets change."""
        more = {"owner": owner, "options": options}
        task = Task.using(self, **changes)
        return replace(task, **{name: each for name, each in more.items() if each is not None})


def _postponed_run(context: str) -> AbstractContextManager[None]:
    """Let jobs that run in who submits them do so after the block."""
    if conf.context(context).get("BACKEND") != "immediate":
        return nullcontext()
    from moi_django.contrib.testing.immediate import postponed_run

    return postponed_run()


class MoiBackend(BaseTaskBackend):
    """A backend of TASKS whose tasks are jobs: with a page, output, cancel and retry."""

    task_class = MoiTask
    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        """Check the options."""
        return check_options(self.alias, self.options)

    def validate_task(self, task: Any) -> None:
        """Refuse what cannot be a task."""
        super().validate_task(task)
        options = getattr(task, "options", None)
        if options is not None and not isinstance(options, Options):
            raise InvalidTask(f"options is {options!r}: give moi_django.Options(...).")

    def enqueue(self, task: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """Send a task as a job, within a transaction when that commits; return its result.

        Raises InvalidTask, TypeError or ValueError for what JSON cannot carry, and what `submit`
        does.
        """
        from moi_django.jobs import api, on_commit

        self.validate_task(task)
        result = new_result(task, self.alias, args, kwargs)
        call = TaskCall.of(task, result.args, result.kwargs)
        owner, name, url = (
            self._option(key, otherwise, task, result)
            for key, otherwise in (("OWNER", NO_USER), ("NAME", task.name), ("URL", None))
        )
        owner = owner if (own := getattr(task, "owner", None)) is None else own
        job, create = api.prepare_job(
            *("", self._context_of(task), owner, name, url),
            (run_task, (call.to_dict(),), {}),
            self._job_options(task),
            task=call.path,
        )
        context = (TaskContext,) if task.takes_context else ()
        described = conf.describe_calls(task.func)((*context, *args), kwargs)
        job.info = replace(job.info, call=described)
        change(result, id=job.id)

        def create_job() -> None:
            with _postponed_run(job.info.context or ""):
                create()
                # Another one, if that has its unique key.
                change(result, id=job.id, enqueued_at=to_time(job.info.date_created))
                task_enqueued.send(type(self), task_result=result)

        if self.options.get("ON_COMMIT", True):
            on_commit.create_or_defer([job], create_job)
        else:
            create_job()
        return result

    def get_result(self, result_id: str) -> Any:
        """Return the result of a task, in any process.

        Raises TaskResultDoesNotExist for a job that is gone, not committed yet, or no task.
        """
        from moi_django.cluster.payloads import verify_payload
        from moi_django.site_store import get_store

        id = str(result_id)
        info = get_store().jobs.get(id) if is_uuid(id) else None
        if info is None or info.task is None:
            raise TaskResultDoesNotExist(id)
        try:
            payload = verify_payload(info, get_store().jobs.payload(id))
        except PayloadRefused as error:
            raise TaskResultDoesNotExist(id) from error
        _, (data,), _ = unpickle_call(payload.call)
        return result_of(info, TaskCall.from_dict(data))

    def _option(self, key: str, otherwise: Any, task: Any, result: Any) -> Any:
        """Return an option, or what a function that stands for it makes of the task."""
        option = self.options.get(key, otherwise)
        return option(task, result.args, result.kwargs) if callable(option) else option

    def _context_of(self, task: Any) -> str:
        """Return the context: a queue that is called like one, else that of the backend."""
        queue: str = task.queue_name
        if queue != DEFAULT_TASK_QUEUE_NAME and queue in conf.CONTEXTS:
            return queue
        context: str = self.options.get("CONTEXT", DEFAULT_CONTEXT)
        return context

    def _job_options(self, task: Any) -> Options:
        options = getattr(task, "options", None) or Options(**self.options.get("JOB", {}))
        time = task.run_after or options.run_after
        if task.run_after is not None and timezone.is_naive(task.run_after):
            time = timezone.make_aware(task.run_after)
        return replace(options, priority=task.priority or options.priority, run_after=time)
