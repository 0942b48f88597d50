"""Many jobs of one function: one for each item, created by hundreds, and their results in order."""

import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Generic, Self, overload

import cloudpickle
from asgiref.sync import sync_to_async

from moi_django import owners
from moi_django.cluster import dispatch, payloads
from moi_django.conf import DEFAULT_CONTEXT, conf
from moi_django.engine import pickling
from moi_django.engine.attempt_end import failure_class
from moi_django.engine.payloads import Payload
from moi_django.engine.references import ResultOf, find_in, replaced
from moi_django.exceptions import InvalidJob, JobFailed, JobNotFound
from moi_django.jobs import creation, on_commit
from moi_django.jobs.type_variables import T_co
from moi_django.models import Info, State
from moi_django.options import Options
from moi_django.site_store import get_store
from moi_django.store.job_records import CHUNK_SIZE, parse_info
from moi_django.store.tree_pages import PageRequest


class ManyJobs(Generic[T_co]):
    """What a group does with many jobs at once."""

    info: Info
    _awaits_commit: Collection[str] = ()
    # That of the API, which imports this module.
    _job_type: Any

    @classmethod
    def _map(
        cls,
        func: Callable[..., Any],
        items: Iterable[Any],
        *,
        owner: Any,
        name: str,
        url: str | None = None,
        context: str = DEFAULT_CONTEXT,
        options: Options | None = None,
        **kwargs: Any,
    ) -> Self:
        conf.context(context)
        options = conf.with_caller(Options() if options is None else Options.require(options))
        if not callable(func) or options.unique:
            raise InvalidJob("A map takes a function, and no unique key, which is for one job.")
        try:
            # As in `submit`, those among the keywords are waited for.
            handles: Any = (cls._job_type, ManyJobs)
            results = find_in([kwargs], handles)
            given = replaced(kwargs, handles, lambda each: ResultOf(each.id)) if results else kwargs
            call = pickling.pickle_call((func, given), conf.PAYLOAD_LIMIT)
        except Exception as error:
            raise InvalidJob(f"The function and its keywords cannot be sent: {error!r}") from error
        group = creation.new_group_info(owners.group_of(owner), name, url)
        options = replace(options, process=options.process or group.id)
        parents = creation.find_parents([*options.after, *results], group)
        how = (context, group, name, None, options, pickling.PYTHON_VERSION, "", parents.values())
        # Pickled now, as with `submit`: who changes an item later does not change its job.
        like = creation.new_job_info(*how)
        inputs = {each.id: parents[each.id].id for each in results}
        around, sent = conf.begin_sending(like, func, {})
        payload = Payload(call, options.without_order(), context, inputs=inputs, around=around)
        describe = partial(conf.describe_calls(func), kwargs=kwargs)
        jobs = list(_jobs_of(items, like, payload, describe))
        get_store().jobs.create(group)
        made = cls(group)  # type: ignore[call-arg] # each handle takes its info
        create = sent(partial(dispatch.enqueue_many, jobs), [info for info, _ in jobs])
        on_commit.create_or_defer([made], create)
        return made

    @classmethod
    async def amap(cls, func: Callable[..., Any], items: Iterable[Any], **how: Any) -> Self:
        """Do what `map` does without blocking the event loop."""
        return await sync_to_async(partial(cls._map, func, items, **how))()

    @overload
    def results(self, timeout: float | None = None) -> list[T_co]: ...
    @overload
    def results(
        self, timeout: float | None = None, *, return_exceptions: bool
    ) -> list[T_co | JobFailed]: ...
    def results(self, timeout: float | None = None, return_exceptions: bool = False) -> list[Any]:
        """Wait for the jobs directly in this group; return their results, the oldest job's first.

        A job that was retried has the result of the one that ran instead. Raises JobFailed for the
        first that did not succeed, or puts that in its place if `return_exceptions`; TimeoutError
        after so many seconds; InvalidJob while the jobs wait for a commit.
        """
        found = [result for _, result in self._ended(timeout, together=True)]
        failed = [result for result in found if isinstance(result, JobFailed)]
        if failed and not return_exceptions:
            raise failed[0]
        return found

    def iter_results(self, timeout: float | None = None) -> Iterator[tuple[Any, T_co | JobFailed]]:
        """Yield (job, result) in that order, each as soon as those before it have ended.

        Of a job that did not succeed it yields the JobFailed, which is not raised.
        """
        return self._ended(timeout, together=False)

    def _ended(self, timeout: float | None, together: bool) -> Iterator[tuple[Any, Any]]:
        """Yield jobs that have ended; with `together`, few of them are waited for."""
        if self._awaits_commit:
            raise InvalidJob("These jobs start when the open transaction commits: wait after that.")
        deadline = None if timeout is None else time.monotonic() + timeout
        ids, instead = get_store().pages.load_ids(PageRequest(self.info.id, 0, 0)), set[str]()
        for start in range(0, len(ids), CHUNK_SIZE):
            left = ids[start : start + CHUNK_SIZE]
            if together:
                self._wait(left[-1], deadline)
            while left:
                for info in self._read(left, instead):
                    if info and info.cancellable:
                        self._wait(info.id, deadline)
                        break  # and read again: others have ended meanwhile
                    del left[0]
                    if info:
                        yield self._job_type(info), _result_of(info)

    def _wait(self, id: str, deadline: float | None) -> None:
        with suppress(JobNotFound):  # it was removed meanwhile, or is a group
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            self._job_type.get(id).wait(left)

    def _read(self, ids: list[str], instead: set[str]) -> Iterator[Info | None]:
        """Yield the jobs of this group, or those that run instead; None for what is none of it."""
        jobs = get_store().jobs
        for id, raw in zip([*ids], jobs.get_raw_many(ids), strict=True):
            info = parse_info(raw, id)
            while info and info.retried and (newer := jobs.get(info.retried)):
                instead.add(newer.id)
                info = newer
            is_ours = info and info.parent == self.info.id and info.state and id not in instead
            yield info if is_ours else None


def _jobs_of(
    items: Iterable[Any], like: Info, payload: Payload, describe: Callable[..., Any]
) -> Iterator[Any]:
    """Yield for each item a job and its signed payload, b"" when it has failed already.

    `payload` is of the function and its keywords, behind which the item comes; `describe` says in
    short how it is called.
    """
    begun, parent = datetime.now(UTC).replace(tzinfo=None), like.path.rpartition(":")[0]
    for number, item in enumerate(items, 1):
        # So that their order is exactly that of the items.
        created = (begun + timedelta(microseconds=number)).isoformat(" ", "microseconds")
        id, name = str(uuid.uuid4()), f"{like.name} {number}"[: conf.NAME_LIMIT]
        where: dict[str, Any] = {"pubsub": f"{id}:pubsub", "path": f"{parent}:{id}"}
        call = describe((item,))
        info = replace(like, id=id, name=name, date_created=created, call=call, **where)
        try:
            pickled = payload.call + cloudpickle.dumps(item)
            payloads.check_length(pickled)
        except Exception as error:
            yield creation.failed_at_submit(info, error), b""
        else:
            yield info, payloads.sign_payload(info, replace(payload, call=pickled))


def _result_of(info: Info) -> Any:
    if info.state is State.SUCCESS:
        return info.result
    kind = failure_class(info.state, info.exception)
    return kind(f"Job {info.id} ({info.name}) ended as {info.state}: {info.result}")
