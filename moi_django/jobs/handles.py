"""Jobs and groups as the Python API hands them out: what is known of them, and what can be done."""

import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from functools import partial
from typing import Any, Concatenate, Generic, Self, overload

from moi_django import owners
from moi_django.cluster import connections, dispatch
from moi_django.engine.attempt_end import failure_class
from moi_django.engine.current import note_wait
from moi_django.exceptions import GroupNotFound, InvalidJob, JobNotFound
from moi_django.jobs import creation, retries
from moi_django.jobs.many import ManyJobs
from moi_django.jobs.on_commit import create_or_defer
from moi_django.jobs.type_variables import A, Async, Func, P, R, T_co
from moi_django.models import Info, State
from moi_django.site_store import get_store
from moi_django.store.job_batches import RETRIED_AT_ONCE, GoesOn, always


class Handle(Generic[T_co]):
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

    def as_argument(self) -> T_co:
        """Return this object, which type checkers take for the result that the function gets."""
        return self  # type: ignore[return-value]

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


class Job(Handle[T_co]):
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
    def result(self) -> T_co:
        """What the function returned, as JSON has it, or the traceback of what it raised."""
        return self.info.result  # type: ignore[no-any-return]

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
                connections.get_connection(self.info.context or "").wait_for_change(heard, left)
        return self

    def value(self, timeout: float | None = None) -> T_co:
        """Wait for the end and return the result.

        Raises JobFailed with the traceback when the job did not succeed: JobLost, JobCancelled or
        JobTimedOut when that is why; or as `wait` does.
        """
        self.wait(timeout)
        if self.state is not State.SUCCESS:
            kind = failure_class(self.state, self.info.exception)
            raise kind(f"Job {self.id} ended as {self.state}: {self.result}")
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

    def retry(self) -> "Job[T_co]":
        """Run the function again, as a new job in the same group, and return that job.

        This one stays what it is; `info.retried` tells as which it was run again. Raises InvalidJob
        when it has not ended, has succeeded or was retried before, PayloadRefused when its function
        is not kept, or as `submit` does.

        Jobs that were skipped because of this one are retried with it.
        """
        self._refuse_before_commit("retry it")
        # Read first: who retries it at the same time drops it, and the info then tells of that.
        signed = get_store().jobs.payload(self.id)
        old = self.refresh().info
        info, payload = retries.prepare_retry(old, signed)
        skipped = retries.prepare_skipped([(old, info, payload)])

        def create() -> None:
            dispatch.enqueue(info, payload, old.id)
            dispatch.enqueue_instead(skipped)

        job = Job[T_co](info)
        create_or_defer([job], create)
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


class Group(Handle[list[T_co]], ManyJobs[T_co]):
    """A node of the tree that holds jobs and groups."""

    _job_type = Job

    @overload
    @classmethod
    def map(
        cls, func: Async[Concatenate[A, P], R], items: Iterable[A], *, owner: Any, **how: Any
    ) -> "Group[R]": ...
    @overload
    @classmethod
    def map(
        cls, func: Func[Concatenate[A, P], R], items: Iterable[A], *, owner: Any, **how: Any
    ) -> "Group[R]": ...
    @classmethod
    def map(cls, func: Any, items: Any, *, owner: Any, **how: Any) -> Any:
        """Send `func(item, **kwargs)` for each item, as jobs in a new group; return the group.

        `name`, which is needed, and `url` are the group's, which is made at once also inside a
        transaction; `context`, `options` and the rest are as in `submit`. Unless the options name a
        process, the jobs share one on each engine.

        An item that cannot be pickled, or is too long, gives a job that has failed. Raises what
        `submit` does, and InvalidJob when the function or its keywords cannot be pickled.
        """
        return cls._map(func, items, owner=owner, **how)

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

        Returns the new jobs, those too that had been skipped because of them. One that cannot be
        retried is left out; when that is so with all of them, what the last one raised is raised.
        `goes_on` is as in `cancel`.
        """
        below, _ = get_store().tree.descendants(self._load_info(self.id))
        failed = [info for info in below if info.has_failed]
        new, refusal = list[Job](), None
        for start in range(0, len(failed), RETRIED_AT_ONCE):
            if not goes_on():
                break
            prepared, refused = retries.prepare_retries(failed[start : start + RETRIED_AT_ONCE])
            refusal = refused or refusal
            new += _retry_all([*prepared, *retries.prepare_skipped(prepared)])
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
    done = create_or_defer(jobs, partial(dispatch.enqueue_instead, prepared))
    if done is None:
        return jobs
    return [job for job, is_done in zip(jobs, done, strict=True) if is_done]


def _id_of(member: Job | Group | str) -> str:
    return member if isinstance(member, str) else member.id
