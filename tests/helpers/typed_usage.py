"""What type checkers must and must not accept: an ignored error that is none is an error itself.

mypy and pyright read the same lines; `tests/unit/test_types.py` sees to it that both do.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, assert_type

from moi_django import Group, Job, JobFunction, Options, asubmit, ctx_default, job, submit
from moi_django import submit_nouser as send
from moi_django.exceptions import JobFailed


def search(query: str, limit: int = 10) -> list[str]:
    return [query] * limit


async def fetch(number: int) -> bytes:
    return bytes(number)


def count(samples: int, status_update: Callable[[str], object]) -> int:
    status_update("Counting")
    return samples


def weigh(samples: int, *, status_update: Callable[[str], object] = print) -> float:
    status_update("Weighing")
    return samples / 2


def greet(who: str, **kwargs: Any) -> str:
    kwargs["status_update"]("I'm about to say hello")
    return f"Hello, {who}"


def untyped(samples, status_update):
    return samples


def publish(found: list[str], sizes: list[bytes]) -> None:
    pass


def use_submit() -> None:
    assert_type(submit(ctx_default, "ada", "Search", None, search, "gene", limit=3), Job[list[str]])
    assert_type(submit(ctx_default, "ada", "Search", None, search, "gene").result, list[str])
    assert_type(send(search, "gene").wait().value(), list[str])
    assert_type(send(search, "gene").retry(), Job[list[str]])
    assert_type(send(fetch, 1).value(timeout=3), bytes)
    assert_type(send(partial(search, limit=3), "gene"), Job[list[str]])
    assert_type(send(lambda: 3), Job[int])
    assert_type(send(sorted, [2, 1]), Job[list[int]])
    assert_type(send(add, 1), Job[int])
    send(search)  # type: ignore[call-arg, arg-type]
    send(search, 1)  # type: ignore[arg-type]
    send(search, "gene", size=3)  # type: ignore[call-arg, arg-type]
    send(fetch, "1")  # type: ignore[arg-type]
    send(add, "1")  # type: ignore[arg-type]
    send(3)  # type: ignore[call-overload]
    submit(ctx_default, "ada", "Search", None, search, 1)  # type: ignore[arg-type]
    submit(ctx_default, "ada", search, "gene")  # type: ignore[call-overload]
    send(search, "gene").value() + 1  # type: ignore[operator]


def use_what_is_offered() -> None:
    assert_type(send(weigh, 3), Job[float])
    assert_type(send(greet, "Ada"), Job[str])
    assert_type(send(count, 3), Job[Any])
    send(untyped, 3)
    send(weigh, "3")  # type: ignore[arg-type]
    send(greet, 3)  # type: ignore[arg-type]
    send(count, "3")  # type: ignore[arg-type]
    send(count)  # type: ignore[call-arg, arg-type]


def use_options() -> None:
    send(search, "gene", options=Options(retries=2))
    submit(ctx_default, "ada", "Search", None, search, "gene", options=Options(retries=2))
    assert_type(job(url="/found", retries=2)(search).submit("ada", "gene"), Job[list[str]])
    assert_type(job(search).using(retries=2).submit("ada", "gene"), Job[list[str]])
    send(search, "gene", options={"retries": 2})  # type: ignore[call-arg, arg-type]
    job(search).using(retries=2).submit("ada", 1)  # type: ignore[arg-type]
    job(url="/found", retries=2)(search).submit("ada")  # type: ignore[call-arg]


def use_results_as_arguments(ids: list[int]) -> None:
    found = send(search, "gene")
    sizes = Group.map(fetch, ids, owner="ada", name="Fetch")
    send(publish, found.as_argument(), sizes.as_argument())
    send(publish, found, sizes)  # type: ignore[call-arg, arg-type]
    send(publish, sizes.as_argument(), found.as_argument())  # type: ignore[call-arg, arg-type]


def use_map() -> None:
    found = Group.map(search, ["gene"], owner="ada", name="Search", limit=3)
    assert_type(found, Group[list[str]])
    assert_type(found.results(), list[list[str]])
    assert_type(found.results(return_exceptions=True), list[list[str] | JobFailed])
    for _, result in found.iter_results():
        assert_type(result, list[str] | JobFailed)
    assert_type(Group.map(fetch, range(3), owner="ada", name="Fetch"), Group[bytes])
    Group.map(lambda number: number, [1], owner="ada", name="Same")
    Group.map(search, [1], owner="ada", name="Search")  # type: ignore[misc, arg-type]
    Group.map(search, ["gene"], name="Search")  # type: ignore[call-overload]


def use_annotations(any_job: Job, one: Job[int], group: Group, many: Group[int]) -> None:
    assert_type(Job.get("id").value(), Any)
    assert_type(one.refresh(), Job[int])
    strings: Job[str] = one  # type: ignore[assignment]
    jobs: list[Job] = [any_job, strings]
    groups: list[Group] = [group, many]
    assert_type((jobs[0].value(), groups[0].results()), tuple[Any, list[Any]])


@job
def add(one: int, two: int = 0) -> int:
    return one + two


@job(name="A long sum", retries=2)
def add_all(numbers: list[int], *, start: int = 0) -> int:
    return sum(numbers, start)


@job
async def later(number: int) -> int:
    return number


@job(priority=3)
async def much_later(number: int) -> int:
    return number


def use_decorated() -> None:
    assert_type(add(1, two=2), int)
    assert_type(add.submit("ada", 1, two=2), Job[int])
    assert_type(add_all.map([[1], [2]], owner="ada", start=1), Group[int])
    assert_type(add.using(name="sum", priority=3).submit("ada", 1), Job[int])
    assert_type(later.submit("ada", 1), Job[int])
    assert_type(much_later.map([1], owner="ada"), Group[int])
    add.submit("ada")  # type: ignore[call-arg]
    add.submit("ada", "one")  # type: ignore[arg-type]
    add.submit("ada", 1, three=3)  # type: ignore[call-arg]
    add.submit("ada", 1, options=Options())  # type: ignore[call-arg]
    add_all.submit("ada", [1], start="1")  # type: ignore[arg-type]
    add_all([1], 2)  # type: ignore[call-arg]
    # mypy does not see this one.
    add_all.map([1], owner="ada")  # pyright: ignore[reportArgumentType]
    add.using(priority=3).submit("ada", "one")  # type: ignore[arg-type]


async def use_without_blocking() -> None:
    assert_type(await asubmit(ctx_default, "ada", "Search", None, search, "gene"), Job[list[str]])
    assert_type(await asubmit(ctx_default, "ada", "Fetch", None, fetch, 1), Job[bytes])
    assert_type(await asubmit(ctx_default, "ada", "Count", None, count, 1), Job[Any])
    await asubmit(ctx_default, "ada", "Fetch", None, fetch, 1, options=Options())
    assert_type(await add.asubmit("ada", 1), Job[int])
    assert_type(await later(1), int)
    assert_type(await later.asubmit("ada", 1), Job[int])
    await asubmit(ctx_default, "ada", "Fetch", None, fetch, "1")  # type: ignore[arg-type]
    await add.asubmit("ada", "one")  # type: ignore[arg-type]


def use_as_value(anything: JobFunction[..., int, int]) -> None:
    anything.submit("ada", "whatever")


use_as_value(add)
