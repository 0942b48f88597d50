"""Read what a client sends: any text, at any speed."""

import json
import time
from collections.abc import Collection

from moi_django.models import is_id


class Mistake(Exception):
    """Say to the client what is wrong with its frame."""


def parse(text: str | None, verbs: Collection[str]) -> tuple[str, list[str]]:
    """Return the verb and the ids of a frame.

    Raises Mistake when it is not an object with one of the verbs and an id, ids, or nothing.
    """
    try:
        frame = json.loads(text or "")
    except (ValueError, RecursionError):
        raise Mistake("A frame is a JSON object, such as {'get': []}.") from None
    if not isinstance(frame, dict) or len(frame) != 1:
        raise Mistake("A frame is an object with one verb.")
    [(verb, ids)] = frame.items()
    if verb not in verbs:
        raise Mistake(f"The verbs are {', '.join(verbs)}.")
    ids = [ids] if isinstance(ids, str) else ids or []
    if not isinstance(ids, list) or not all(map(is_id, ids)):
        raise Mistake("A verb comes with an id or a list of ids.")
    return verb, list(dict.fromkeys(ids))


class Allowance:
    """So many ids a second over a while, and so many at once; a verb without any counts as one."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst, self._left = rate, burst, float(burst)
        self._at = time.monotonic()

    def take(self, count: int = 1) -> bool:
        """Use so many; tell whether there were as many left."""
        now = time.monotonic()
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < count:
            return False
        self._left -= count
        return True
