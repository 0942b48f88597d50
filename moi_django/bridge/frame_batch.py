"""The changes of a tick, encoded once for all pages that show the same."""

from collections.abc import Set
from itertools import groupby

from moi_django.bridge.tree_index import Frame


def sent_verb(verb: str) -> str:
    """Return the verb that pages are told."""
    return "update" if verb == "count" else verb


class FrameBatch:
    """The frames of one watched group, as all its viewers share them."""

    def __init__(self, frames: list[Frame]) -> None:
        self.frames = frames
        # Ids of what has not come or gone, and all other frames.
        self.updated = {id for verb, id, *_ in frames if verb in ("update", "count")}
        self.others = [frame for frame in frames if frame[1] not in self.updated]
        self.removed = {id for verb, id, *_ in self.others if verb == "remove"}
        self._texts: dict[frozenset[str], list[str]] = {}

    def texts_of(self, ids: Set[str]) -> list[str]:
        """Return the frames, with lists in them, for a page that shows these ids."""
        key = frozenset(ids)
        if key not in self._texts:
            shown = [frame for frame in self.frames if frame[1] in key]
            self._texts[key] = [
                f'{{"{verb}": [{",".join(changes or raw for _, _, raw, changes in each)}]}}'
                for verb, each in groupby(shown, lambda frame: sent_verb(frame[0]))
            ]
        return self._texts[key]
