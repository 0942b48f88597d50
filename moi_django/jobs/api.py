"""The Python API: send a function to a cluster, follow the job, keep jobs in groups."""

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, Self

from asgiref.sync import sync_to_async

from moi_django import owners
from moi_django.cluster import dispatch, payloads
from moi_django.conf import DEFAULT_CONTEXT, NO_USER, conf
from moi_django.engine import pickling
from moi_django.engine.current import note_wait
from moi_django.engine.payloads import Payload
from moi_django.exceptions import DuplicateJob, GroupNotFound, InvalidJob, JobFailed, JobNotFound
from moi_django.jobs import creation, on_commit, retries
from moi_django.jobs.many import ManyJobs
from moi_django.models import Info, State
from moi_django.options import Options
from moi_django.site_store import get_store
from moi_django.store.job_batches import RETRIED_AT_ONCE, GoesOn, always

# The cluster that is used unless another one is named.
ctx_default = DEFAULT_CONTEXT


def submit(
    context: str,
    owner: Any,
    name: str,
    url: str | None,
    func: Callable[..., Any],
    /,
    *args: Any,
    **kwargs: Any,
) -> "Job":
    """Send `func(*args, **kwargs)` to a cluster and return its job.

    `context` names a cluster of MOI["CONTEXTS"]. `owner` is a user, a username, another name, a
    Group or the id of one. The page links a finished job to `url/<id>`; None links it to ours.
    A function that accepts them is also given `status_update` (alias `moi_update_status`),
    `moi_context` and `moi_parent_id`.

    `options=` an `Options` says how often and how long it is run; a keyword of this name with
    any other value is the function's.

    An engine that has nothing to do takes it at once; else it waits for the next one that is free,
    also when there is no cluster now.

    Inside a database transaction the job is created when the transaction commits, and never when it
    is rolled back, unless MOI["ON_COMMIT"] is False. Should Redis be lost before the commit, an
    error is logged and there is no job.

    A function that cannot be pickled gives a job that has failed and says why. Raises InvalidJob,
    UnknownContext, GroupNotFound, StoreUnavailable or NotRunning, and then there is no job.
    """
    return submit_as("", context, owner, name, url, (func, args, kwargs), _take_options(kwargs))


def submit_as(
    id: str, context: str, owner: Any, name: str, url: str | None, call: Any, options: Options
) -> "Job":
    """Do what `submit` does with (func, args, kwargs); raise ValueError when the id is taken."""
    func, args, kwargs = call
    conf.context(context)
    if not callable(func):
        raise InvalidJob(f"{func!r} cannot be called: give the function itself, then its arguments")
    info = creation.new_job_info(
        context, owners.group_of(owner, seen=True), name, url, options, pickling.PYTHON_VERSION, id
    )
    create: Callable[[Info], object]
    try:
        pickled = pickling.pickle_call((func, args, kwargs), conf.PAYLOAD_LIMIT)
    except Exception as error:
        info = creation.failed_at_submit(info, error)
        create = get_store().jobs.create
    else:
        payloads.check_length(pickled)
        create = partial(dispatch.enqueue, payload=Payload(pickled, options, context))
    job, is_shared = Job(info), options.on_duplicate == "return"
    on_commit.create_or_defer([job], partial(_create_for, owner, job, create, is_shared))
    return job


def submit_nouser(func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Job":
    """Send `func(*args, **kwargs)` to the default cluster for nobody in particular."""
    return submit(ctx_default, NO_USER, "unnamed", None, func, *args, **kwargs)


async def asubmit(
    context: str,
    owner: Any,
    name: str,
    url: str | None,
    func: Callable[..., Any],
    /,
    *args: Any,
    **kwargs: Any,
) -> "Job":
    """Do what `submit` does without blocking the event loop."""
    return await sync_to_async(submit)(context, owner, name, url, func, *args, **kwargs)


def _take_options(kwargs: dict[str, Any]) -> Options:
    """Take the options out of the keywords that were given for the function."""
    return kwargs.pop("options") if isinstance(kwargs.get("options"), Options) else Options()


def _create_for(owner: Any, job: "Job", create: Callable[[Info], Any], is_shared: bool) -> Any:
    """Create a job, in the group that its owner has now; it may become one that has its key."""
    try:
        return create(job.info)
    except GroupNotFound:
        group = owners.group_of(owner)
        job.info = replace(job.info, parent=group.id, path=f"{group.path}:{job.id}")
    except DuplicateJob as error:
        if not is_shared:
            raise
        if other := get_store().jobs.get(error.id):
            job.info = other
            return None
    return _create_for(owner, job, create, is_shared)


class _Handle:
    """What jobs and groups have in common: the info that was last read."""

    def __init__(self, info: Info) -> None:
        self.info = info

    @property
    def id(self) -> str:
        """The id, a UUID."""
        return self.info.id

    @property
    def name(self) -> str:
        """What people call it."""
        return self.info.name

    @property
    def url(self) -> str | None:
        """Where it can be looked at once `/<id>` is appended."""
        return self.info.url

    def refresh(self) -> Self:
        """Read the present info and return this object."""
        self.info = type(self)._load_info(self.id)
        return self

    @classmethod
    def get(cls, id: str) -> Self:
        """Return the one with this id.

        Raises JobNotFound or GroupNotFound.
        """
        return cls(cls._load_info(id))

    @classmethod
    def _load_info(cls, id: str) -> Info:
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.name!r}>"


class Job(_Handle):
    """A function sent to a cluster; its properties are as of the last read, see `refresh`."""

    # The transactions in which it was submitted, until they commit.
    _awaits_commit: Collection[str] = ()

    @property
    def status(self) -> str:
        """The text for people: Queued, Running, Success, Failed, or what the job said itself."""
        return self.info.status

    @property
    def state(self) -> State | None:
        """The machine's word for where the job is."""
        return self.info.state

    @property
    def result(self) -> Any:
        """What the function returned, as JSON has it, or the traceback of what it raised."""
        return self.info.result

    @property
    def finished(self) -> bool:
        """True when the job has come to its end."""
        return self.info.finished

    def wait(self, timeout: float | None = None) -> Self:
        """Block until the job is finished and return it; `timeout` is in seconds.

        While a job waits so for another that is queued, its engine runs that one beside it.

        Raises TimeoutError, or JobNotFound when it is removed meanwhile, or InvalidJob when it
        waits for a commit that cannot come while you wait.
        """
        self._refuse_before_commit("wait for it")
        deadline = None if timeout is None else time.monotonic() + timeout
        with get_store().jobs.listen(self.id) as heard, note_wait(self.id):
            while not self.refresh().finished:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise TimeoutError(f"Job {self.id} is not finished after {timeout} s.")
                heard(left)
        return self

    def value(self, timeout: float | None = None) -> Any:
        """Wait for the end and return the result.

        Raises JobFailed with the traceback when the job did not succeed, or as `wait` does.
        """
        self.wait(timeout)
        if self.state is not State.SUCCESS:
            raise JobFailed(f"Job {self.id} ended as {self.state}: {self.result}")
        return self.result

    def cancel(self) -> bool:
        """End the job as cancelled unless it is finished; tell whether that was done.

        One that has not started never runs; one that runs is interrupted (KeyboardInterrupt), and
        when it has not ended after MOI["CANCEL_GRACE"] seconds, its process is killed. Raises
        JobNotFound when it is gone, InvalidJob while it waits for a commit.
        """
        self._refuse_before_commit("cancel it")
        self.info, done = get_store().jobs.cancel(self.id)
        return done

    def retry(self) -> "Job":
        """Run the function again, as a new job in the same group, and return that job.

        This one stays what it is; `info.retried` tells as which it was run again. Raises InvalidJob
        when it has not ended, has succeeded or was retried before, PayloadRefused when its function
        is not kept, or as `submit` does.
        """
        self._refuse_before_commit("retry it")
        # Read first: who retries it at the same time drops it, and the info then tells of that.
        signed = get_store().jobs.payload(self.id)
        old = self.refresh().info
        info, payload = retries.prepare_retry(old, signed)
        job = Job(info)
        on_commit.create_or_defer([job], partial(dispatch.enqueue, info, payload, old.id))
        return job

    def remove(self) -> None:
        """Remove the job: nothing of it is left in Redis, every page drops it.

        One that is not finished is stopped as by `cancel`.
        """
        if not get_store().tree.remove(self.id):
            raise JobNotFound.for_id(self.id)

    def _refuse_before_commit(self, operation: str) -> None:
        if self._awaits_commit:
            raise InvalidJob(
                f"This job starts when the open transaction commits: {operation} after that."
            )

    @classmethod
    def _load_info(cls, id: str) -> Info:
        info = get_store().jobs.get(id)
        if info is None or info.is_group:
            raise JobNotFound.for_id(id)
        return info


class Group(_Handle, ManyJobs):
    """A node of the tree that holds jobs and groups."""

    _job_type = Job

    @classmethod
    def create(cls, owner: Any, name: str, url: str | None = None) -> Self:
        """Make a group in the group of an owner, who is given as in `submit`.

        The page links it to `url/<id>`. It is made at once, also inside a transaction, and is left,
        empty, when that is rolled back. Raises InvalidJob, GroupNotFound or StoreUnavailable.
        """
        info = creation.new_group_info(owners.group_of(owner), name, url)
        get_store().jobs.create(info)
        return cls(info)

    @classmethod
    def of(cls, owner: Any) -> Self:
        """Return the root group of an owner, who is given as in `submit`."""
        return cls(owners.group_of(owner))

    def add(self, *members: "Job | Group | str") -> None:
        """Let jobs and groups appear in this group too; their parent and owner stay.

        Raises JobNotFound for an unknown id, InvalidJob for a group that would hold itself.
        """
        ids = [_id_of(member) for member in members]
        for id, info in zip(ids, get_store().jobs.get_many(ids), strict=True):
            if info is None:
                raise JobNotFound(f"There is no job or group {id}.")
            if info.is_group and self.id in {below.id for below in get_store().tree.subtree(id)}:
                raise InvalidJob(f"The group {self.id} lies in {id} and cannot hold it.")
        for id in ids:
            get_store().tree.add_member(self.id, id)

    def remove(self, *members: "Job | Group | str") -> None:
        """Take jobs and groups out of this group; they are not removed themselves."""
        for member in members:
            get_store().tree.remove_member(self.id, _id_of(member))

    def traverse(self) -> Iterator["Job | Group"]:
        """Yield this group and everything below it, parents first, siblings from the oldest on."""
        for info in get_store().tree.subtree(self.id):
            yield Group(info) if info.is_group else Job(info)

    def jobs(self) -> list[Job]:
        """Return all jobs below this group, from the oldest on."""
        found = [Job(info) for info in get_store().tree.subtree(self.id) if not info.is_group]
        return sorted(found, key=lambda job: job.info.date_created or "")

    def totals(self) -> dict[str, int]:
        """Return how many jobs below this group are in each state; of those retried, "retried"."""
        return dict(Counter(str(job.info.counted_as) for job in self.jobs()))

    def cancel(self, goes_on: GoesOn = always) -> int:
        """Cancel what is not finished of the jobs below by parent; return how many.

        `goes_on` is asked now and then: the rest is left when it says no.
        """
        return get_store().tree.cancel(self.id, goes_on)

    def retry(self, goes_on: GoesOn = always) -> list[Job]:
        """Retry what has failed or got lost of the jobs below by parent.

        Returns the new jobs. One that cannot be retried is left out; when that is so with all of
        them, what the last one raised is raised. `goes_on` is as in `cancel`.
        """
        below, _ = get_store().tree.descendants(self._load_info(self.id))
        failed = [info for info in below if info.has_failed]
        new, refusal = list[Job](), None
        for start in range(0, len(failed), RETRIED_AT_ONCE):
            if not goes_on():
                break
            prepared, refused = retries.prepare_retries(failed[start : start + RETRIED_AT_ONCE])
            refusal = refused or refusal
            new += _retry_all(prepared)
        if refusal and not new:
            raise refusal
        return new

    def delete(self) -> None:
        """Remove this group and everything below it by parent, which stops what runs."""
        if not get_store().tree.remove(self.id):
            raise GroupNotFound.for_id(self.id)

    @classmethod
    def _load_info(cls, id: str) -> Info:
        info = get_store().jobs.get(id)
        if info is None or not info.is_group:
            raise GroupNotFound.for_id(id)
        return info


def _retry_all(prepared: list[retries.Retry]) -> list[Job]:
    """Create jobs that run instead of others, now or when the open transaction commits."""
    jobs = [Job(info) for _, info, _ in prepared]
    done = on_commit.create_or_defer(jobs, partial(dispatch.enqueue_instead, prepared))
    if done is None:
        return jobs
    return [job for job, is_done in zip(jobs, done, strict=True) if is_done]


def _id_of(member: Job | Group | str) -> str:
    return member if isinstance(member, str) else member.id
