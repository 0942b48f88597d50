"""Results of other jobs among the arguments of one, which are known only when it begins."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ResultOf:
    """What stands for the result of a job or group."""

    id: str


def leaves(value: Any) -> Iterator[Any]:
    """Yield what is in a value of lists, tuples and dicts, however deep; also of one in itself."""
    seen, left = set[int](), [value]
    while left:
        each = left.pop()
        if type(each) not in (list, tuple, dict):
            yield each
        elif id(each) not in seen:
            seen.add(id(each))
            left += reversed(each.values() if type(each) is dict else each)


def replaced(value: Any, replace: Callable[[Any], Any]) -> Any:
    """Return such a value with what `replace` makes of each of its leaves."""
    if type(value) in (list, tuple):
        return type(value)(replaced(each, replace) for each in value)
    if type(value) is dict:
        return {key: replaced(each, replace) for key, each in value.items()}
    return replace(value)


def with_results(value: Any, results: Mapping[str, Any]) -> Any:
    """Return such a value with results in their places."""

    def result(leaf: Any) -> Any:
        return results[leaf.id] if isinstance(leaf, ResultOf) else leaf

    return replaced(value, result) if results else value
