"""Results of other jobs among the arguments of one, which are known only when it begins."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")
# What is looked into.
_CONTAINERS = (list, tuple, dict)


@dataclass(frozen=True, slots=True)
class ResultOf:
    """What stands for the result of a job or group."""

    id: str


def find_in(value: Any, kind: type[T]) -> list[T]:
    """Return what is of a kind in a list, tuple or dict, however deep."""
    found, left, seen = list[T](), [value], set[int]()
    while left:
        container = left.pop()
        if id(container) in seen:
            continue  # one that holds itself, too
        seen.add(id(container))
        for each in container.values() if type(container) is dict else container:
            if isinstance(each, kind):
                found.append(each)
            elif type(each) in _CONTAINERS:
                left.append(each)
    return found


def replaced(value: Any, kind: type[T], replace: Callable[[T], Any]) -> Any:
    """Return such a value with other things in the place of those of a kind."""
    if isinstance(value, kind):
        return replace(value)
    if type(value) in (list, tuple):
        return type(value)(replaced(each, kind, replace) for each in value)
    if type(value) is dict:
        return {key: replaced(each, kind, replace) for key, each in value.items()}
    return value


def with_results(value: Any, results: Mapping[str, Any]) -> Any:
    """Return such a value with results in their places."""
    return replaced(value, ResultOf, lambda each: results[each.id]) if results else value
