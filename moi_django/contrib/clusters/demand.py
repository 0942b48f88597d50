"""Tell how many engines an elastic context needs, by its queues and what its engines do."""

import json
from pathlib import Path
from typing import NamedTuple

from moi_django.contrib.clusters.context_settings import ContextSettings
from moi_django.contrib.clusters.context_status import (
    ContextEngine,
    ContextStatus,
    EngineCondition,
)
from moi_django.contrib.standings.queue_order import QueueOrders
from moi_django.site_store import get_store
from moi_django.state_dir import write_whole
from moi_django.store.queue import split_queue

# Seconds for which a job waits before an engine is asked for it, where there are some: one of them
# may take it by then.
GROW_AFTER = 10.0


class Need(NamedTuple):
    """How many engines jobs can use now, and for how many of these they have waited enough."""

    usable: int
    overdue: int


class Demand:
    """What one context has needed of late: it keeps what was usable within its idle timeout.

    A file has it, as those who look after the context come and go: with cron, each looks once.
    """

    def __init__(self, file: Path) -> None:
        self.file = file

    def engines(self, status: ContextStatus, wanted: int, present: float) -> int:
        """Return how many engines the context is to have, at a time since 1970.

        Raises StoreUnavailable.
        """
        context, need = status.context, read_need(status)
        before, usable = self._read()
        if wanted != before:  # at first, or by somebody: that holds as long as a need
            usable = [(present, wanted)]
        oldest = present - context.idle_timeout
        usable = [
            (at, count) for at, count in usable if oldest < at <= present and count > need.usable
        ]
        usable.append((present, need.usable))
        kept = min(wanted, max(count for _, count in usable))
        kept = context.bounded(max(need.overdue, kept))
        write_whole(self.file, json.dumps({"kept": kept, "usable": usable}))
        return kept

    def _read(self) -> tuple[int | None, list[tuple[float, int]]]:
        """Return how many engines were kept, and when how many were usable, the most first."""
        try:
            said = json.loads(self.file.read_text())
            return int(said["kept"]), [(float(at), int(count)) for at, count in said["usable"]]
        except (FileNotFoundError, LookupError, TypeError, ValueError):
            return None, []  # as at first: what is wanted is kept for a while


def read_need(status: ContextStatus) -> Need:
    """Return what the jobs of a context need now."""
    busy = status.count(EngineCondition.BUSY)
    waits = _waiting_times(status.context, _pythons_of(status.useful))
    enough = GROW_AFTER if status.useful else 0.0
    overdue = sum(seconds >= enough for seconds in waits)
    # Beside those that take no job as an operator has said so, and do not for these either.
    aside = sum(each.is_drained and each.job is None for each in status.useful)
    need = Need(
        busy + (len(waits) + aside if waits else 0), busy + (overdue + aside if overdue else 0)
    )
    refusing = any(each.refusal for each in status.useful)
    if refusing and not any(map(_takes_jobs, status.useful)):
        return Need(*(min(count, 1) for count in need))  # which says why, until it takes jobs
    return need


def _takes_jobs(engine: ContextEngine) -> bool:
    is_known = engine.condition in (EngineCondition.BUSY, EngineCondition.IDLE)
    return is_known and engine.refusal is None


def _pythons_of(engines: list[ContextEngine]) -> set[str]:
    """Return the versions of Python of engines that have said theirs, as queues name them."""
    reports = get_store().engines.reports()
    said = [reports[each.id].metrics.python for each in engines if each.id in reports]
    return {".".join(python.split(".")[:2]) for python in said if python}


def _waiting_times(context: ContextSettings, pythons: set[str]) -> list[float]:
    """Return for how many seconds jobs wait that could begin; for as many jobs as matter.

    Of those for whose Python there is none among the engines one counts: it says so.
    """
    store = get_store()
    orders, able = QueueOrders(store), list[str]()
    for queue in store.queue.names_of(context.name):
        ids = [id for id, each in orders.standings(queue).items() if each.hold is None]
        is_fitting = not pythons or split_queue(queue)[1] in pythons
        able += ids if is_fitting else ids[:1]
    infos = store.jobs.get_many(able[: int(context.most)])
    return [info.waited_seconds() for info in infos if info is not None]
