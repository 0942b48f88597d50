"""What a page shows of a tree that it watches, so that it hears of nothing else.

Plain data, no connection. A page shows the newest members of a watched root group and the oldest
members of any other group, as many as it has asked for. A group of which it does not show
all is shown in part: of the others it knows how many there are.
"""

import json
from collections.abc import Iterable, Sequence, Set
from functools import lru_cache
from typing import Any

from moi_django.bridge.tree_index import Frame
from moi_django.conf import conf
from moi_django.models import Info
from moi_django.site_store import get_store
from moi_django.store.tree_pages import TreePage

# Many pages take in the same.
_parse = lru_cache(maxsize=32)(json.loads)


class Viewport:
    """The part of one watched tree that one page shows."""

    # Whether ids alone tell of what it shows if it may hear.
    shares_frames = True

    def __init__(self, root: str, top: int, rows: int) -> None:
        self.root, self.rows = root, rows
        # How many members of a group are shown at first, where that is not `rows`.
        self.requested = {root: top}
        # Whether the watched group is a root group.
        self._is_root = False
        # False until a snapshot was sent, and while another one is due: then all may matter.
        self.has_snapshot = False
        # While more of a group is read: what is not shown may be in it.
        self.is_growing = False
        # What the page has to drop though it is still there.
        self.hidden: list[str] = []
        # What is shown -> under which group.
        self._shown: dict[str, str] = {}
        # Group that is shown -> how many of its members are, from its first on.
        self._shown_counts: dict[str, int] = {}
        self._partial: set[str] = set()
        # Groups shown in part whose number of members has changed that are shown.
        self._unreported: set[str] = set()

    def __len__(self) -> int:
        return len(self._shown)

    def __contains__(self, id: object) -> bool:
        """Tell whether a job or group is shown."""
        return id in self._shown

    def shows_group(self, group: str) -> bool:
        """Tell whether a group is shown of which more could be."""
        return group in self._shown_counts

    def newest_first(self, group: str) -> bool:
        """Tell whether a group is shown from its newest member on, else from its oldest on."""
        return self._is_root and group == self.root

    def shown_count(self, group: str) -> int:
        """Return how many members of a group are shown."""
        return self._shown_counts[group]

    def load(self) -> TreePage:
        """Return what the page shows, anew."""
        limit = conf.SNAPSHOT_LIMIT
        return get_store().pages.first_page(self.root, self.requested, self.rows, limit)

    def apply_snapshot(self, page: TreePage) -> None:
        """Take in what a snapshot shows."""
        self._is_root = bool(page.infos) and page.infos[0].is_root
        self._shown_counts = dict(page.shown_counts)
        self._shown = {info.id: info.parent or self.root for info in page.infos}
        sizes = {info.id: info.size or 0 for info in page.infos}
        self._partial = {
            group for group, shown in self._shown_counts.items() if shown < sizes[group]
        }
        self._unreported = set(self._partial)
        self.has_snapshot = True

    def add_page(self, group: str, page: Sequence[Info], *, is_last: bool) -> None:
        """Take in more members of a group, of which the groups come without theirs."""
        for info in page:
            self._shown[info.id] = group
            if info.is_group:
                self._shown_counts[info.id] = 0
                self._partial |= {info.id} if info.size else set()
        self._shown_counts[group] += len(page)
        self.requested[group] = self._shown_counts[group]
        if is_last:
            self._partial.discard(group)
        self._unreported |= {group} | (self._partial & {info.id for info in page})

    def ignores(self, verb: str, id: str) -> bool:
        """Tell whether a change does not matter, whatever else it says."""
        is_complete = self.has_snapshot and not self.is_growing
        return is_complete and verb != "add" and id not in self._shown

    def accepts(self, verb: str, id: str, raw: str) -> bool:
        """Take in a change; tell whether the page is to hear of it."""
        if verb == "remove":
            return self._hide(id)
        return id in self._shown or (verb == "add" and self._show(id, _parse(raw)))

    def accept_batch(self, updated: Set[str], others: Iterable[Frame]) -> Set[str]:
        """Take in changes; return the ids of which the page is to hear, of the `updated` too."""
        accepted = {id for verb, id, raw, _ in others if self.accepts(verb, id, raw)}
        return accepted | (self._shown.keys() & updated)

    def take_unreported_counts(self) -> dict[str, int]:
        """Return how many members are shown of groups shown in part, where that has changed."""
        unreported, self._unreported = self._unreported, set()
        return {
            group: self._shown_counts[group] for group in unreported if group in self._shown_counts
        }

    def _show(self, id: str, info: dict[str, Any]) -> bool:
        is_linked = self.root not in info["path"].split(":")
        # Its parent is not here, so it stands at the top.
        group = self.root if is_linked else info["parent"]
        if group not in self._shown_counts:
            return False
        # A watched root group grows at its top, which is always shown; others at their end.
        if not self.newest_first(group) and self._is_full(group):
            self._partial.add(group)
            self._unreported.add(group)
            return False
        self._shown[id] = group
        self._change_count(group, 1)
        if info["type"] == "group":
            self._shown_counts.setdefault(id, 0)
        return True

    def _is_full(self, group: str) -> bool:
        """Tell whether a group has no room for a new member at its end."""
        room = self.requested[group] if group == self.root else self.rows
        return group in self._partial or self._shown_counts[group] >= room

    def _hide(self, id: str) -> bool:
        group = self._shown.pop(id, None)
        self._shown_counts.pop(id, None)
        if group in self._shown_counts:
            self._change_count(group, -1)
        return group is not None

    def _change_count(self, group: str, change: int) -> None:
        self._shown_counts[group] += change
        if group in self._partial:
            self._unreported.add(group)
