"""Read the frames that a client sends, which may be any text, and limit their number."""

import json
import time
from collections.abc import Collection
from typing import Any

from moi_django.validation import is_id


class ProtocolError(Exception):
    """Say to the client what is wrong with its frame; `verb` is the one that it has, if any."""

    def __init__(self, reason: str, verb: str | None = None) -> None:
        super().__init__(reason)
        self.verb = verb


# Each once, and the number that stands with it, if any.
Ids = dict[str, int | None]


def parse_frame(text: str | None, verbs: Collection[str]) -> tuple[str, Ids]:
    """Return the verb and the ids of a frame.

    Raises ProtocolError unless it is an object with one of the verbs and an id, a list of ids, ids
    with a number each, or nothing.
    """
    try:
        frame = json.loads(text or "")
    except (ValueError, RecursionError):
        raise ProtocolError("A frame is a JSON object, such as {'get': []}.") from None
    if not isinstance(frame, dict) or len(frame) != 1:
        raise ProtocolError("A frame is an object with one verb.")
    [(verb, given)] = frame.items()
    if verb not in verbs:
        raise ProtocolError(f"The verbs are {', '.join(verbs)}.")
    if (ids := _parse_ids(given)) is None:
        raise ProtocolError(
            "A verb comes with an id, a list of ids, or ids with a number each.", verb
        )
    return verb, ids


def _parse_ids(given: Any) -> Ids | None:
    given = [given] if isinstance(given, str) else given or []
    if isinstance(given, list) and all(map(is_id, given)):
        return dict.fromkeys(given)
    if (
        isinstance(given, dict)
        and all(map(is_id, given))
        and all(map(_is_row_count, given.values()))
    ):
        return given
    return None


def _is_row_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


class TokenBucket:
    """Limits what is done: to `rate` times a second over a while, and `burst` times at once."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst, self._left = rate, burst, float(burst)
        self._at = time.monotonic()

    def spend(self, count: int = 1) -> bool:
        """Take tokens; tell whether there were as many left."""
        now = time.monotonic()
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < count:
            return False
        self._left -= count
        return True
