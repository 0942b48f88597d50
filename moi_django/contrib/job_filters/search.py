"""Find the jobs of a tree that a filter lets through, the newest first."""

from dataclasses import dataclass, field

from moi_django.contrib.job_filters.job_filter import JobFilter
from moi_django.contrib.monitoring.job_index import IndexPosition, JobIndex
from moi_django.models import Info, State
from moi_django.site_store import get_store
from moi_django.store.tree_pages import TreePage

# How many jobs of an owner are looked at.
MAX_SCANNED = 5_000
# What comes first where what runs does.
_RANKS = {State.RUNNING: 0, State.QUEUED: 1}


@dataclass(frozen=True, slots=True)
class FoundJobs:
    """A group, and the jobs below it that a filter lets through, whatever groups they are in."""

    # The newest first, or those that run; nothing at all where there is no such group.
    root: list[Info]
    jobs: list[Info] = field(default_factory=list)
    # How many more were found, and whether there may be others among those not looked at.
    left: int = 0
    is_cut: bool = False
    has_running_first: bool = False
    # From where to go on with older ones; None where there are none, and where what runs is first.
    older: IndexPosition | None = None

    @property
    def page(self) -> TreePage:
        """The same as a page has it: in a group that is no root the oldest come first."""
        is_turned = self.jobs and not (self.root[0].is_root or self.has_running_first)
        jobs = self.jobs[::-1] if is_turned else self.jobs
        return TreePage([*self.root, *jobs], {info.id: len(jobs) for info in self.root})


def find_jobs(
    id: str, wanted: JobFilter, limit: int, before: IndexPosition | None = None
) -> FoundJobs:
    """Return the jobs below a group that a page wants to see, at most so many, older than one."""
    store = get_store()
    root = store.jobs.get(id)
    if root is None or not root.is_group:
        return FoundJobs(store.tree.with_counts([root]) if root else [])
    wanted.named.update(dict.fromkeys([*root.ancestors, root.id], False))
    index, position, looked_at = JobIndex(store.connection, store.jobs), before, 0
    found = list[Info]()
    while looked_at < MAX_SCANNED and (wanted.running_first or len(found) <= limit):
        infos, position = index.newest(store.keys.owner_jobs(root.owner), position)
        looked_at += len(infos)
        below = [info for info in infos if root.id in info.ancestors]
        _note_groups(wanted, below)
        found += [info for info in below if wanted.fits(info)]
        if position is None:
            break
    left, is_cut = max(0, len(found) - limit), position is not None and len(found) <= limit
    if wanted.running_first:
        found.sort(key=lambda info: _RANKS.get(info.state or State.SUCCESS, 2))
    older = IndexPosition.of_job(found[limit - 1]) if left else position
    return FoundJobs(
        store.tree.with_counts([root]),
        found[:limit],
        left,
        is_cut,
        has_running_first=wanted.running_first,
        older=None if wanted.running_first else older,
    )


def _note_groups(wanted: JobFilter, infos: list[Info]) -> None:
    """Look up how the groups around jobs are called, where that matters."""
    if not wanted.text:
        return
    groups = {group for info in infos for group in info.ancestors} - wanted.named.keys()
    for group in get_store().jobs.get_many(list(groups)):
        if group is not None:
            wanted.note_group(group)
