"""Pickle a call for an engine, with the source of what is sent by value, and load it there.

Such a function is in no file of the engine: without its source a traceback would show bare numbers
of lines. The source is a pickle of its own behind that of the call, and may be missing. For many
items (function, kwargs) is pickled once, and the pickle of each item put behind both.
"""

import io
import linecache
import sys
from collections.abc import Callable, Iterable, Mapping
from types import CodeType, MappingProxyType
from typing import Any

import cloudpickle

from moi_django.engine.references import with_results

# A pickled function is for the Python that pickled it.
PYTHON_VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
# What cloudpickle puts where code says which file it is from.
DYNAMIC_FILE = "<dynamic-code>"
# Characters of source that are sent with a call.
MAX_SOURCE_LENGTH = 100_000

Call = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]
# Name of a file -> number of a line -> the line.
Sources = dict[str, dict[int, str]]

# Files of which the lines in the call that was loaded last are known to tracebacks.
_installed_files: set[str] = set()


def pickle_call(call: Call | tuple[Any, Any], limit: int) -> bytes:
    """Pickle a function and its arguments; add source only as long as all is within the limit."""
    file = io.BytesIO()
    pickler = _Pickler(file)
    pickler.dump(call)
    pickled = file.getvalue()
    if sources := _source_lines(pickler.code_objects):
        source = cloudpickle.dumps(sources)
        if len(pickled) + len(source) <= limit:
            return pickled + source
    return pickled


def unpickle_call(payload: bytes, inputs: Mapping[str, Any] = MappingProxyType({})) -> Call:
    """Unpickle a function and its arguments, with the results of other jobs that are among them.

    What it raises says what may be missing.
    """
    file, more = io.BytesIO(payload), list[Any]()
    try:
        call = cloudpickle.load(file)
        while file.tell() < len(payload):
            more.append(cloudpickle.load(file))
    except Exception as error:
        error.add_note(
            "The engine could not load the function or its arguments. Are their modules "
            "importable on the engine, in the versions that the site has?"
        )
        raise
    if len(call) == 2:  # of a map
        call = call[0], (more.pop(),), call[1]
    _install_sources(more[0] if more else {})
    function, args, kwargs = call
    return function, with_results(args, inputs), with_results(kwargs, inputs)


class _Pickler(cloudpickle.Pickler):
    """Notes what code is sent by value, and leaves it the name of its file."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.code_objects: list[CodeType] = []

    def reducer_override(self, obj: Any) -> Any:
        """Reduce what pickle does not know by itself."""
        if not isinstance(obj, CodeType):
            return super().reducer_override(obj)
        self.code_objects.append(obj)
        make, args = self.dispatch_table[CodeType](obj)
        return make, tuple(obj.co_filename if arg == DYNAMIC_FILE else arg for arg in args)


def _source_lines(code_objects: Iterable[CodeType]) -> Sources:
    """Return the lines of code, where their files are to be read."""
    found: Sources = {}
    room = MAX_SOURCE_LENGTH
    for code in code_objects:
        linecache.checkcache(code.co_filename)
        lines = linecache.getlines(code.co_filename)
        for number in range(code.co_firstlineno, min(_last_line(code), len(lines)) + 1):
            line = lines[number - 1]
            if number not in found.get(code.co_filename, {}):
                room -= len(line)
                if room < 0:
                    return found
                found.setdefault(code.co_filename, {})[number] = line
    return found


def _last_line(code: CodeType) -> int:
    """Return the number of the last line of code."""
    ends = (end or begin for begin, end, _, _ in code.co_positions())
    return max(filter(None, ends), default=code.co_firstlineno)


def _install_sources(sources: Sources) -> None:
    """Let tracebacks show these lines, and those of the call before no more."""
    while _installed_files:
        linecache.cache.pop(_installed_files.pop(), None)
    for name, sent in sources.items():
        linecache.checkcache(name)
        # The engine may have a file of this name, perhaps another version of it.
        lines = linecache.getlines(name)[:]
        lines += ["\n"] * (max(sent) - len(lines))
        for number, line in sent.items():
            lines[number - 1] = line
        linecache.cache[name] = (sum(map(len, lines)), None, lines, name)
        _installed_files.add(name)
