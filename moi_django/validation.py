"""Check values of strangers: whether they can be text, an id, a link."""

import json
import unicodedata
import uuid
from math import isfinite, isinf
from typing import Any
from urllib.parse import urlsplit

# How deep values may be nested in JSON that is read. A result is less so: see `engine.encoding`.
MAX_NESTING = 200

# Controls, half characters, separators of lines; what embeds, overrides or isolates a direction.
_UNFIT = {"Cc", "Cs", "Zl", "Zp"}
_TURNING = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def escape_surrogates(text: str) -> str:
    """Return a text that UTF-8 can carry: half characters, as in odd file names, are escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def text_of(raw: bytes) -> str:
    """Return the text of a member of ours; of a foreign one, what stands for its bytes in Redis."""
    return raw.decode(errors="surrogateescape")


def number_of(raw: bytes | None) -> float:
    """Return a number that Redis keeps; 0 when it is none."""
    try:
        number = float(raw or 0)
    except ValueError:
        return 0.0
    return number if isfinite(number) else 0.0


def is_uuid(text: str) -> bool:
    """Tell whether a text looks like an id made by us."""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def unfit_character(text: str) -> str | None:
    """Return which character keeps a text from being a name, None if none does.

    Such as control something, end a line, or turn the direction of what follows, which can let a
    name read as another one. What joins or spaces letters, as in many scripts, is fit.
    """
    for place, character in enumerate(text, 1):
        is_turning = unicodedata.bidirectional(character) in _TURNING
        if is_turning or unicodedata.category(character) in _UNFIT:
            name = unicodedata.name(character, "a control character")
            return f"character {place} is U+{ord(character):04X}, {name}"
    return None


def is_id(value: object) -> bool:
    """Tell whether a value of a stranger can be the id of something."""
    return isinstance(value, str) and 0 < len(value) <= 200 and value.isprintable()


def is_safe_url(url: str) -> bool:
    """Tell whether a url may become a link: http, https, or relative to the site.

    Browsers drop control characters and read a backslash as a slash, so both are refused, and so
    is `//host`, which looks relative and is not.
    """
    if any(ord(character) < 33 or character == "\\" for character in url) or url.startswith("//"):
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    if parts.scheme:
        return parts.scheme in ("http", "https") and bool(parts.netloc)
    return True


def parse_json(raw: str | bytes) -> Any:
    """Read JSON whose strings can be written as UTF-8 and whose numbers as JSON."""
    text = raw.decode() if isinstance(raw, bytes) else raw
    try:
        data = _decode(text)
    except RecursionError as error:
        raise ValueError("JSON is nested too deep") from error
    if text.count("[") + text.count("{") > MAX_NESTING:
        _refuse_deep(data)
    # Only an escape can stand for half of a character.
    return _escape_all(data) if "\\ud" in text.lower() else data


def _refuse_deep(data: Any) -> None:
    """Raise ValueError for what cannot be written as JSON again: that goes as deep by itself."""
    level = [data]
    for _ in range(MAX_NESTING):
        level = [
            item
            for each in level
            if isinstance(each, (list, dict))
            for item in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return
    raise ValueError("JSON is nested too deep")


def _escape_all(value: Any) -> Any:
    if isinstance(value, str):
        return escape_surrogates(value)
    if isinstance(value, list):
        return [_escape_all(item) for item in value]
    if isinstance(value, dict):
        return {escape_surrogates(key): _escape_all(item) for key, item in value.items()}
    return value


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _finite_float(text: str) -> float:
    if isinf(number := float(text)):
        raise ValueError(f"{text[:50]} is too large a number")
    return number


_decode = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite_float).decode
