"""`@job`: a function that says itself how it is sent, and can be called as before.

Importing it needs no Django: an engine imports what its functions are decorated with.
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from copyreg import __newobj__  # type: ignore[attr-defined] # what pickle makes objects with
from dataclasses import replace
from functools import partial, reduce, update_wrapper
from typing import TYPE_CHECKING, Any, Concatenate, Generic, Protocol, overload

from moi_django.jobs.type_variables import A, Async, Coro, Func, P, Q, R, T
from moi_django.options import Options

if TYPE_CHECKING:
    from moi_django.jobs.handles import Group, Job


class JobFunction(Generic[P, T, R]):
    """A function that can be called, and sent as a job; `job` makes it."""

    __name__: str
    __qualname__: str
    __wrapped__: Callable[P, T]

    def __init__(self, func: Func[P, T], how: Mapping[str, Any], options: Options) -> None:
        update_wrapper(self, func)
        self._how, self._options = {**how, "name": how["name"] or self.__name__}, options

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run the function here."""
        return self.__wrapped__(*args, **kwargs)

    def submit(self, owner: Any, /, *args: P.args, **kwargs: P.kwargs) -> "Job[R]":
        """Send the function with these arguments, as the function `submit` does; return the job."""
        from moi_django.jobs.api import submit_as

        call = (self, args, kwargs)
        return submit_as("", owner=owner, call=call, options=self._options, **self._how)

    async def asubmit(self, owner: Any, /, *args: P.args, **kwargs: P.kwargs) -> "Job[R]":
        """Do what `submit` does without blocking the event loop."""
        from asgiref.sync import sync_to_async

        return await sync_to_async(self.submit)(owner, *args, **kwargs)

    def map(
        self: "JobFunction[Concatenate[A, Q], T, R]", items: Iterable[A], *, owner: Any, **how: Any
    ) -> "Group[R]":
        """Send the function for each item, in a new group; return that."""
        from moi_django.jobs.handles import Group

        func: Any = self  # whose result is R as well if it is a coroutine
        return Group.map(func, items, owner=owner, options=self._options, **self._how | how)

    def using(self, **changes: Any) -> "JobFunction[P, T, R]":
        """Return a copy that is sent in another way; the keywords are those of `job`."""
        how = {name: changes.pop(name, value) for name, value in self._how.items()}
        return JobFunction(self.__wrapped__, how, replace(self._options, **changes))

    def __reduce__(self) -> Any:
        """Let pickle name what a module has; what none has it takes as it is."""
        found = _find(self.__module__, self.__qualname__)
        if found is self:
            return self.__qualname__
        if isinstance(found, JobFunction) and found.__wrapped__ is self.__wrapped__:
            return _copy, (found, self._how, self._options)
        # Not through the constructor: the function may know this object.
        return __newobj__, (JobFunction,), self.__dict__


def _copy(found: JobFunction[P, T, R], how: Any, options: Options) -> JobFunction[P, T, R]:
    return JobFunction(found.__wrapped__, how, options)


def _find(module: str, qualname: str) -> Any:
    """Return what an engine finds in a module under a name, or None."""
    # On an engine that is another program.
    found = None if module == "__main__" else sys.modules.get(module)
    return reduce(lambda scope, name: getattr(scope, name, None), qualname.split("."), found)


class _Decorator(Protocol):
    @overload
    def __call__(self, func: Async[P, R], /) -> JobFunction[P, Coro[R], R]: ...
    @overload
    def __call__(self, func: Func[P, T], /) -> JobFunction[P, T, T]: ...


@overload
def job(func: Async[P, R], /) -> JobFunction[P, Coro[R], R]: ...
@overload
def job(func: Func[P, T], /) -> JobFunction[P, T, T]: ...
@overload
def job(
    *, name: str | None = None, context: str = "default", url: str | None = None, **options: Any
) -> _Decorator: ...
def job(
    func: Any = None,
    /,
    *,
    name: Any = None,
    context: Any = "default",
    url: Any = None,
    **options: Any,
) -> Any:
    """Decorate a function that is to be sent as a job, as `@job` or `@job(name=..., ...)`.

    Other keywords are those of `Options`. Its jobs have its name unless there is another one. It
    is called as before; `submit`, `asubmit` and `map` send it.
    """
    how = {"name": name, "context": context, "url": url}
    make = partial(JobFunction, how=how, options=Options(**options))
    return make if func is None else make(func)
