"""Check values of strangers: whether they can be text, an id, a link."""

import json
from typing import Any
from urllib.parse import urlsplit


def escape_surrogates(text: str) -> str:
    """Return a text that UTF-8 can carry: half characters, as in odd file names, are escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


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
        data = json.loads(text, parse_constant=_refuse_constant)
        # Only an escape can stand for half of a character.
        return _escape_all(data) if "\\ud" in text.lower() else data
    except RecursionError as error:
        raise ValueError("an info object is nested too deep") from error


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
