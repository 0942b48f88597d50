"""Prepare a result for a page: a tree of JSON that is bounded however large the result is."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

# Maximum number and depth of the values that are shown; the rest can be downloaded.
MAX_NODES, MAX_DEPTH = 1_000, 20
MAX_TEXT = 2_000


@dataclass(slots=True)
class JsonNode:
    """A value in a tree, or several with a name for each."""

    # Its place in the object or list that holds it; empty at the top.
    name: str
    # "object", "array", "string", "number", "boolean" or "null".
    kind: str
    # A single value as JSON; how many there are, of several.
    text: str
    members: list["JsonNode"] = field(default_factory=list)
    # How many of its members are not shown.
    left: int = 0

    @property
    def is_branch(self) -> bool:
        """True when it holds other values."""
        return self.kind in ("object", "array")


def build_json_tree(value: Any) -> JsonNode:
    """Return a value of JSON as a tree."""
    return _TreeBuilder().build_node("", value, 0)


class _TreeBuilder:
    """Counts what is shown."""

    def __init__(self) -> None:
        self._count = 0

    def build_node(self, name: str, value: Any, depth: int) -> JsonNode:
        """Return a value and what of it may yet be shown."""
        self._count += 1
        if not isinstance(value, (dict, list)):
            return _leaf_node(name, value)
        kind = "object" if isinstance(value, dict) else "array"
        node = JsonNode(name, kind, str(len(value)))
        for key, member in _members(value):
            if self._count >= MAX_NODES or depth >= MAX_DEPTH:
                break
            node.members.append(self.build_node(key, member, depth + 1))
        node.left = len(value) - len(node.members)
        return node


def _members(value: dict[str, Any] | list[Any]) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from value.items()
    else:
        yield from ((str(place), member) for place, member in enumerate(value))


def _leaf_node(name: str, value: Any) -> JsonNode:
    kind = {bool: "boolean", type(None): "null", str: "string"}.get(type(value), "number")
    text = json.dumps(value, ensure_ascii=False)
    return JsonNode(name, kind, text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "…")
