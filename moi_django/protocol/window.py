"""What a page shows of a tree that it watches, so that it hears of nothing else.

Plain data, no connection. A page shows the newest members of a watched root group and the oldest
members of any other group, as many as it has asked for. A group of which it does not show all
is cut: of the others it knows how many there are.
"""

import json
from collections.abc import Sequence
from typing import Any

from moi_django.models import Info
from moi_django.store.pager import Outline


class Window:
    """The part of one watched tree that one page shows."""

    def __init__(self, root: str, top: int, rows: int) -> None:
        self.root, self.rows = root, rows
        # How many members of a group are shown at first, where that is not `rows`.
        self.wanted = {root: top}
        # Whether the watched group is a root group.
        self._is_root = False
        # False until a snapshot was sent, and while another one is due: then all may matter.
        self.is_settled = False
        # What is shown -> under which group.
        self._shown: dict[str, str] = {}
        # Group that is shown -> how many of its members are, from its first on.
        self._covered: dict[str, int] = {}
        self._cut: set[str] = set()
        # Cut groups whose number of members has changed that are shown.
        self._untold: set[str] = set()

    def __len__(self) -> int:
        return len(self._shown)

    def __contains__(self, id: object) -> bool:
        """Tell whether a job or group is shown."""
        return id in self._shown

    def shows_group(self, group: str) -> bool:
        """Tell whether a group is shown of which more could be."""
        return group in self._covered

    def newest_first(self, group: str) -> bool:
        """Tell whether a group is shown from its newest member on, else from its oldest on."""
        return self._is_root and group == self.root

    def covered(self, group: str) -> int:
        """Return how many members of a group are shown."""
        return self._covered[group]

    def settle(self, outline: Outline) -> None:
        """Take in what a snapshot shows."""
        self._is_root = bool(outline.infos) and outline.infos[0].is_root
        self._covered = dict(outline.covered)
        self._shown = {info.id: info.parent or self.root for info in outline.infos}
        sizes = {info.id: info.size or 0 for info in outline.infos}
        self._cut = {group for group, shown in self._covered.items() if shown < sizes[group]}
        self._untold = set(self._cut)
        self.is_settled = True

    def extend(self, group: str, page: Sequence[Info], *, is_last: bool) -> None:
        """Take in more members of a group, of which the groups come without theirs."""
        for info in page:
            self._shown[info.id] = group
            if info.is_group:
                self._covered[info.id] = 0
                self._cut |= {info.id} if info.size else set()
        self._covered[group] += len(page)
        self.wanted[group] = self._covered[group]
        if is_last:
            self._cut.discard(group)
        self._untold |= {group} | (self._cut & {info.id for info in page})

    def drops(self, verb: str, id: str) -> bool:
        """Tell whether a change does not matter, whatever else it says."""
        return self.is_settled and verb != "add" and id not in self._shown

    def takes(self, verb: str, id: str, raw: str) -> bool:
        """Take in a change; tell whether the page is to hear of it."""
        if verb == "remove":
            return self._take_out(id)
        return id in self._shown or (verb == "add" and self._take_in(id, json.loads(raw)))

    def take_cuts(self) -> dict[str, int]:
        """Return how many members are shown of those cut groups where that is news."""
        untold, self._untold = self._untold, set()
        return {group: self._covered[group] for group in untold if group in self._covered}

    def _take_in(self, id: str, info: dict[str, Any]) -> bool:
        is_visitor = self.root not in info["path"].split(":")
        # Its home is not here, so it stands at the top.
        group = self.root if is_visitor else info["parent"]
        if group not in self._covered:
            return False
        # A watched root group grows at its top, which is always shown; others at their end.
        if not self.newest_first(group) and self._is_full(group):
            self._cut.add(group)
            self._untold.add(group)
            return False
        self._shown[id] = group
        self._count(group, 1)
        if info["type"] == "group":
            self._covered.setdefault(id, 0)
        return True

    def _is_full(self, group: str) -> bool:
        """Tell whether a group has no room for a new member at its end."""
        room = self.wanted[group] if group == self.root else self.rows
        return group in self._cut or self._covered[group] >= room

    def _take_out(self, id: str) -> bool:
        group = self._shown.pop(id, None)
        self._covered.pop(id, None)
        if group in self._covered:
            self._count(group, -1)
        return group is not None

    def _count(self, group: str, change: int) -> None:
        self._covered[group] += change
        if group in self._cut:
            self._untold.add(group)
