"""The atomic writes: Lua files that name their keys and arguments in their first lines.

Each checks, writes, counts and publishes in one step. A writer hands in the JSON it has read; when
the key holds something else by now, nothing is done. Values pass through as opaque strings: Lua's
cjson would turn `[]` into `{}` and damage integers above 2**53.

A file begins so; a name with dots takes a list, and stands last:

    -- KEYS: info members ancestors...
    -- ARGS: json lifetime
    -- USES: indices

In the code these are `info_key`, `members_key`, `ancestors_keys`, `json` and `lifetime`; what
`lua/indices.lua` defines stands before it, and so do the constants below.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import redis

from moi_django.models import RETRIED, State

LUA = Path(__file__).parent / "lua"
# Seconds for which is counted what has ended in a minute.
STATISTICS_LIFETIME = 90_000
CONSTANTS = {
    "STATES": " ".join(State),
    "RETRIED": RETRIED,
    "STATISTICS_LIFETIME": STATISTICS_LIFETIME,
}


class Script:
    """A script that takes its keys and arguments by name."""

    def __init__(self, client: redis.Redis, name: str) -> None:
        source, self._keys, self._args = load_script(name)
        self._name = name
        self._run = client.register_script(source)

    def __call__(self, keys: Mapping[str, Any], args: Mapping[str, Any]) -> Any:
        """Run it; raises TypeError when it takes other keys or arguments."""
        for given, names in ((keys, self._keys), (args, self._args)):
            if given.keys() != {name.removesuffix("...") for name in names}:
                raise TypeError(f"{self._name}.lua takes {', '.join(names)}; not {[*given]}")
        return self._run(keys=_flatten(self._keys, keys), args=_flatten(self._args, args))


@lru_cache(maxsize=64)
def load_script(name: str) -> tuple[str, list[str], list[str]]:
    """Return the whole source of a script, and the names of its keys and of its arguments."""
    text = (LUA / f"{name}.lua").read_text()
    keys, args, uses = (_header(text, title) for title in ("KEYS", "ARGS", "USES"))
    constants = [f"local {name} = {value!r}" for name, value in CONSTANTS.items()]
    used = [(LUA / f"{other}.lua").read_text() for other in uses]
    names = [*_locals("KEYS", keys, "_key"), *_locals("ARGV", args, "")]
    return "\n".join([*constants, *used, *names, text]), keys, args


def _header(text: str, title: str) -> list[str]:
    """Return the names in a line of the first comment, which may go on in the next lines."""
    found = re.search(rf"^-- {title}: (.*(?:\n--   .*)*)", text, re.MULTILINE)
    return re.sub(r"\n--", "", found[1]).split() if found else []


def _locals(source: str, names: list[str], suffix: str) -> list[str]:
    """Return the lines of Lua that give names to what a script is handed."""
    lines = []
    for place, name in enumerate(names, 1):
        if name.endswith("..."):
            rest = f"{name.removesuffix('...')}{suffix and suffix + 's'}"
            lines += [f"local {rest} = {{}}", f"for i = {place}, #{source} do"]
            lines += [f"  {rest}[#{rest} + 1] = {source}[i]", "end"]
        else:
            lines.append(f"local {name}{suffix} = {source}[{place}]")
    return lines


def _flatten(names: list[str], given: Mapping[str, Any]) -> list[Any]:
    """Return values in the order of their names, those of a list one by one."""
    values: list[Any] = []
    for name in names:
        value = given[name.removesuffix("...")]
        values += value if name.endswith("...") else [value]
    return values
