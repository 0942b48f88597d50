"""What type checkers must and must not accept: an ignored error that is none is an error itself."""

from typing import assert_type

from moi_django import Group, Job, job


@job
def add(one: int, two: int = 0) -> int:
    return one + two


@job(name="A long sum", retries=2)
def add_all(numbers: list[int], *, start: int = 0) -> int:
    return sum(numbers, start)


@job
async def later(number: int) -> int:
    return number


def use() -> None:
    assert_type(add(1, two=2), int)
    assert_type(add.submit("ada", 1, two=2), Job)
    assert_type(add_all.map([[1], [2]], owner="ada", start=1), Group)
    assert_type(add.using(name="sum", priority=3).submit("ada", 1), Job)
    add.submit("ada")  # type: ignore[call-arg]
    add.submit("ada", "one")  # type: ignore[arg-type]
    add.submit("ada", 1, three=3)  # type: ignore[call-arg]
    add_all.submit("ada", [1], start="1")  # type: ignore[arg-type]
    add_all([1], 2)  # type: ignore[call-arg]
    add.using(priority=3).submit("ada", "one")  # type: ignore[arg-type]


async def use_without_blocking() -> None:
    assert_type(await add.asubmit("ada", 1), Job)
    assert_type(await later(1), int)
    await add.asubmit("ada", "one")  # type: ignore[arg-type]
