"""What a job calls with which arguments, in one short line: noted when it is submitted.

Values are written without any code of theirs: plain ones as Python has them, others by their type.
What is called like a secret is left out, by the pattern that Django uses for its own error reports.
"""

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from functools import partial
from itertools import islice
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

from django.views.debug import SafeExceptionReporterFilter, get_default_exception_reporter_filter

from moi_django.conf import conf
from moi_django.validation import escape_surrogates

# Maximum number of characters in all and of one value, of members that are named, and of levels.
MAX_LENGTH, MAX_TEXT, MAX_MEMBERS, MAX_DEPTH = 300, 60, 5, 3
# An integer of more bits is not written.
MAX_BITS = 200
# The password in the address of a server, and how much of a text is searched for one.
_PASSWORD, MAX_SEARCHED = re.compile(r"(://[^/?#\s:@]*:)[^/?#\s@]+(?=@)"), 10_000
_PLAIN = (type(None), bool, float, complex)
# Modules whose values tell what they are when they are written, and do nothing else.
_PLAIN_MODULES = {"datetime", "decimal", "pathlib", "uuid"}
_BRACKETS: dict[Any, str] = {list: "[]", tuple: "()", set: "{}", frozenset: "{}"}

Describe = Callable[[Sequence[Any], Mapping[str, Any]], str]


def describe_calls(func: Any) -> Describe:
    """Return what describes calls of a function by their arguments."""
    if isinstance(func, partial):
        inner = describe_calls(func.func)
        return lambda args, kwargs: inner((*func.args, *args), {**func.keywords, **kwargs})
    name = _name_of(func)
    if not conf.SHOW_ARGUMENTS:
        return lambda args, kwargs: f"{name}(…)"[-MAX_LENGTH:]
    signature = _signature_of(func)

    def describe(args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
        text = escape_surrogates(f"{name}({_arguments_text(signature, args, kwargs)})")
        return text if len(text) <= MAX_LENGTH else f"{text[: MAX_LENGTH - 2]}…)"

    return describe


def _name_of(func: Any) -> str:
    """Return the dotted path of a callable, or of the class of what is called as if it were one."""
    func = func if isinstance(getattr(func, "__qualname__", None), str) else type(func)
    module = getattr(func, "__module__", None)
    known = isinstance(module, str) and module not in ("builtins", "__main__")
    return f"{module}.{func.__qualname__}" if known else str(func.__qualname__)


def _signature_of(func: Any) -> inspect.Signature | None:
    try:
        return inspect.signature(func)
    except (TypeError, ValueError):
        return None  # one of C that does not tell


def _arguments_text(
    signature: inspect.Signature | None, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> str:
    try:
        if signature is not None:
            return ", ".join(_named_values(signature, signature.bind_partial(*args, **kwargs)))
    except TypeError:
        pass  # a call that will fail by itself
    # Nobody knows what they are called, so nobody knows what must not be told.
    return "…" if args or kwargs else ""


def _named_values(signature: inspect.Signature, bound: inspect.BoundArguments) -> Iterator[str]:
    for name, value in bound.arguments.items():
        kind = signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_POSITIONAL:
            shown = islice(value, MAX_MEMBERS)
            yield from (_hidden(name) or _value_text(each) for each in shown)
            yield from ["…"] * (len(value) > MAX_MEMBERS)
        elif kind is inspect.Parameter.VAR_KEYWORD:
            yield from (f"{key}={_hidden(key) or _value_text(each)}" for key, each in value.items())
        else:
            yield f"{name}={_hidden(name) or _value_text(value)}"


def _hidden(name: Any) -> str:
    """Return what stands for the value of something that is called like a secret; else nothing."""
    ours: Any = get_default_exception_reporter_filter()
    usual = SafeExceptionReporterFilter
    pattern = getattr(ours, "hidden_settings", usual.hidden_settings)
    is_secret = isinstance(name, str) and pattern.search(name)
    return getattr(ours, "cleansed_substitute", usual.cleansed_substitute) if is_secret else ""


def _value_text(value: Any, depth: int = 1) -> str:
    kind = type(value)
    if kind is str:
        shown = _PASSWORD.sub(r"\1***", value[:MAX_SEARCHED])
        return repr(shown) if len(shown) <= MAX_TEXT else f"{shown[: MAX_TEXT - 1]!r}…"
    if kind in _PLAIN or (kind is int and value.bit_length() <= MAX_BITS):
        return repr(value)
    if kind is dict:
        items = map(partial(_item_text, depth=depth), value.items())
        return _joined("{}", items, len(value), depth)
    if kind in _BRACKETS:
        members = (_value_text(each, depth + 1) for each in value)
        return _joined(_BRACKETS[kind], members, len(value), depth)
    return _type_text(value, kind)[:MAX_TEXT]


def _type_text(value: Any, kind: type) -> str:
    """Return a value of a class that is not plain, or that class."""
    # Not by isinstance, which lets what is lazy find out what it is.
    if issubclass(kind, Enum):
        return f"{kind.__name__}.{value._name_}"
    if issubclass(kind, (type, FunctionType, BuiltinFunctionType, MethodType)):
        return str(value.__qualname__)
    if kind.__module__.partition(".")[0] in _PLAIN_MODULES:
        return repr(value)
    if kind.__module__ == "numpy" and getattr(value, "shape", None) == ():
        return _value_text(value.item(), MAX_DEPTH)
    return f"<{kind.__name__}>"


def _item_text(item: tuple[Any, Any], depth: int) -> str:
    key, value = item
    return f"{_value_text(key, MAX_DEPTH)}: {_hidden(key) or _value_text(value, depth + 1)}"


def _joined(brackets: str, texts: Iterable[str], count: int, depth: int) -> str:
    """Join the texts of the first members; of those that are too deep there is but a sign."""
    shown = [*islice(texts, MAX_MEMBERS if depth < MAX_DEPTH else 0)]
    left = ["…"] * (count > len(shown))
    return f"{brackets[0]}{', '.join(shown + left)}{brackets[1]}"
