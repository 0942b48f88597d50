"""What a page shows that wants to see some jobs of a tree: no groups, and no others."""

from moi_django.contrib.job_filters.job_filter import JobFilter
from moi_django.contrib.job_filters.search import find_jobs
from moi_django.info_json import info_from_json
from moi_django.protocol.viewport import Viewport
from moi_django.store.tree_pages import TreePage


class FilteredViewport(Viewport):
    """The part of a tree that a filter lets through; what no longer fits leaves the page."""

    # It has to look at whole infos, and what begins to fit is told as a whole.
    shares_frames = False

    def __init__(self, root: str, top: int, rows: int, wanted: JobFilter) -> None:
        super().__init__(root, top, rows)
        self._filter = wanted

    def load(self) -> TreePage:
        """Return what the page shows, anew."""
        return find_jobs(self.root, self._filter, self.requested[self.root]).page

    def apply_snapshot(self, page: TreePage) -> None:
        """Take in what a snapshot shows, which is not shown in part: the rest is a link away."""
        self._shown = {info.id: self.root for info in page.infos}
        self.has_snapshot = True

    def ignores(self, verb: str, id: str) -> bool:
        """Tell whether a change does not matter: any but a removal may let a job fit."""
        return self.has_snapshot and verb == "remove" and id not in self._shown

    def accepts(self, verb: str, id: str, raw: str) -> bool:
        """Take in a change; tell whether the page is to hear of it."""
        if verb == "remove" or id == self.root:
            return verb != "remove" or self._shown.pop(id, None) is not None
        info = info_from_json(raw)
        if info.is_group:
            self._filter.note_group(info)
        elif self._filter.fits(info):
            self._shown[id] = self.root
            self.hidden = [each for each in self.hidden if each != id]
            return True
        elif self._shown.pop(id, None):
            self.hidden.append(id)
        return False
