"""Prepare a result for a page: a tree of JSON that is bounded however large the result is."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

# So many values of a result are shown as a tree, and so deep; the rest can be downloaded.
MOST, DEEPEST = 1_000, 20
TEXT = 2_000


@dataclass(slots=True)
class Leaf:
    """A value in a tree, or several with a name for each."""

    # Its place in the object or list that holds it; empty at the top.
    name: str
    # "object", "array", "string", "number", "boolean" or "null".
    kind: str
    # A single value as JSON; how many there are, of several.
    text: str
    members: list["Leaf"] = field(default_factory=list)
    # How many of its members are not shown.
    left: int = 0

    @property
    def is_branch(self) -> bool:
        """True when it holds other values."""
        return self.kind in ("object", "array")


def tree(value: Any) -> Leaf:
    """Return a value of JSON as a tree."""
    return _Grower().grow("", value, 0)


class _Grower:
    """Counts what is shown."""

    def __init__(self) -> None:
        self._count = 0

    def grow(self, name: str, value: Any, depth: int) -> Leaf:
        """Return a value and what of it may yet be shown."""
        self._count += 1
        if not isinstance(value, (dict, list)):
            return _single(name, value)
        kind = "object" if isinstance(value, dict) else "array"
        leaf = Leaf(name, kind, str(len(value)))
        for key, member in _members(value):
            if self._count >= MOST or depth >= DEEPEST:
                break
            leaf.members.append(self.grow(key, member, depth + 1))
        leaf.left = len(value) - len(leaf.members)
        return leaf


def _members(value: dict[str, Any] | list[Any]) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from value.items()
    else:
        yield from ((str(place), member) for place, member in enumerate(value))


def _single(name: str, value: Any) -> Leaf:
    kind = {bool: "boolean", type(None): "null", str: "string"}.get(type(value), "number")
    text = json.dumps(value, ensure_ascii=False)
    return Leaf(name, kind, text if len(text) <= TEXT else text[:TEXT] + "…")
