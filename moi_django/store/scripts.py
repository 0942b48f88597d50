"""The atomic writes: Lua files that name their keys and arguments in their first lines.

Each checks, writes, counts and publishes in one step. A writer hands in the JSON it has read; when
the key holds something else by now, nothing is done. Values pass through as opaque strings: Lua's
cjson would turn `[]` into `{}` and damage integers above 2**53.

A file begins so; a name with dots takes a list, and stands last:

    -- KEYS: info members ancestors...
    -- ARGS: json lifetime
    -- USES: indices

In the code these are `info_key`, `members_key`, `ancestors_keys`, `json` and `lifetime`. Before it
stand these names, the constants below, and what the files define that it uses.
"""

import hashlib
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import redis
from redis.exceptions import NoScriptError, ReadOnlyError

from moi_django.models import RETRIED, UNFINISHED, State

LUA = Path(__file__).parent / "lua"
# Seconds for which is counted what has ended in a minute.
STATISTICS_LIFETIME = 90_000
# Milliseconds that an attempt is taken to need until it has ended.
USED_GUESS = 1_000
# How many events are kept at most of those that somebody has yet to hear of, and the length of an
# info object as JSON from which on an event leaves out the result.
MAX_EVENTS, MAX_EVENT = 100_000, 20_000
CONSTANTS = {
    "STATES": " ".join(State),
    "UNFINISHED": " ".join(UNFINISHED),
    "QUEUED": str(State.QUEUED),
    "RUNNING": str(State.RUNNING),
    "SUCCESS": str(State.SUCCESS),
    "RUNNING_STATUS": State.RUNNING.status,
    "RETRIED": RETRIED,
    "MAX_EVENTS": MAX_EVENTS,
    "MAX_EVENT": MAX_EVENT,
    "STATISTICS_LIFETIME": STATISTICS_LIFETIME,
    # Seconds for which a worker finds that it was woken.
    "WAKE_EXPIRY": 60,
    "USED_GUESS": USED_GUESS,
    # Seconds after which half of what somebody has used is forgotten.
    "USED_HALF_LIFE": 4 * 3_600,
}


class ScriptCall(NamedTuple):
    """A script that is to run, with its keys and arguments by name."""

    name: str
    keys: Mapping[str, Any]
    args: Mapping[str, Any]


class Script:
    """A script that takes its keys and arguments by name.

    Redis forgets scripts when it is started anew: one that it does not know is sent whole.
    """

    def __init__(self, name: str) -> None:
        self._source, *self._names = load_script(name)
        self._known = [{each.removesuffix("...") for each in names} for names in self._names]
        self._name = name
        self._sha = hashlib.sha1(self._source.encode(), usedforsecurity=False).hexdigest()

    def __call__(self, client: redis.Redis, call: ScriptCall) -> Any:
        """Run it; raises TypeError when it takes other keys or arguments."""
        values = self._values(call)
        try:
            return client.evalsha(self._sha, *values)
        except NoScriptError:
            return client.eval(self._source, *values)

    def load(self, pipeline: Any) -> None:
        """Let Redis know it when a pipeline is run."""
        pipeline.script_load(self._source)

    def queue(self, pipeline: Any, call: ScriptCall) -> None:
        """Let it run with a pipeline; raises TypeError as a call does."""
        pipeline.evalsha(self._sha, *self._values(call))

    def result(self, client: redis.Redis, call: ScriptCall, answer: Any) -> Any:
        """Return what it returned in a pipeline; raises what went wrong."""
        # A pipeline stays with a server that has become a replica; what is run alone does not.
        if isinstance(answer, NoScriptError | ReadOnlyError):
            return client.eval(self._source, *self._values(call))
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _values(self, call: ScriptCall) -> list[Any]:
        for given, names, known in zip(call[1:], self._names, self._known, strict=True):
            if given.keys() != known:
                raise TypeError(f"{self._name}.lua takes {', '.join(names)}; not {[*given]}")
        keys, args = map(_flatten, self._names, call[1:])
        return [len(keys), *keys, *args]


@lru_cache(maxsize=64)
def load_script(name: str) -> tuple[str, list[str], list[str]]:
    """Return the whole source of a script, and the names of its keys and of its arguments."""
    text = (LUA / f"{name}.lua").read_text()
    keys, args, uses = (_header(text, title) for title in ("KEYS", "ARGS", "USES"))
    constants = [f"local {name} = {value!r}" for name, value in CONSTANTS.items()]
    used = [(LUA / f"{other}.lua").read_text() for other in uses]
    names = [*_locals("KEYS", keys, "_key"), *_locals("ARGV", args, "")]
    return "\n".join([*constants, *names, *used, text]), keys, args


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
    """Return values in the order of their names, those of a list, which is the last, one by one."""
    if names and names[-1].endswith("..."):
        return [*map(given.__getitem__, names[:-1]), *given[names[-1].removesuffix("...")]]
    return [given[name] for name in names]
