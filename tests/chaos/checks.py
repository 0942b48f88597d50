"""What has to be so when all has come to rest."""

import json
import time
from collections import Counter
from collections.abc import Callable

import psutil

from moi_django.conf import conf
from moi_django.models import Info
from moi_django.site_store import get_store
from tests.chaos.load import Load
from tests.chaos.pages import Page
from tests.chaos.site import Site

# Seconds for everything to come to rest after the last blow, and for pages to show it.
REST, SHOWN = 90.0, 30.0
PASSING_KEYS = ("dispatched:", "pulse:", "idle:", "engine", "ended:", "user-id-map")


def until(condition: Callable[[], bool], seconds: float, what: Callable[[], str]) -> float:
    """Wait for something; return the seconds that took, or fail."""
    begun = time.monotonic()
    while not condition():
        if time.monotonic() - begun > seconds:
            raise AssertionError(f"not within {seconds} s: {what()}")
        time.sleep(0.2)
    return time.monotonic() - begun


def rest(load: Load) -> float:
    """Every job has its end; return the seconds until that was so."""
    return until(lambda: not unfinished(load), REST, lambda: f"no end: {unfinished(load)}")


def unfinished(load: Load) -> list[Info]:
    """Return the jobs that have no end."""
    return [job.info for job in load.jobs.values() if not job.refresh().finished]


def runs(site: Site, load: Load) -> int:
    """Nothing has run more often than it was to; return the number of runs."""
    begun = Counter(map(int, site.ledger.read_text().split()))
    for number, job in load.jobs.items():
        assert begun[number] <= job.info.attempt <= job.info.attempts, job.info
        assert begun[number] or str(job.state) != "success", job.info
        # What had not begun when something died is sent again.
        assert job.info.date_start or str(job.state) != "lost", job.info
    assert all(begun[number] <= 1 for number in load.refused), "a refused job ran twice"
    return sum(begun.values())


def pages(pages: list[Page]) -> float:
    """Every page shows what Redis holds; return the seconds until that was so."""

    def wrong() -> list[str]:
        held = {root: tree(root) for root in {page.root for page in pages}}
        return [page.root for page in pages if page.infos != held[page.root]]

    return until(lambda: not wrong(), SHOWN, lambda: f"pages of {wrong()} show something else")


def tree(root: str) -> dict[str, dict]:
    """Return what Redis holds of a tree, as a page has it."""
    infos = get_store().pages.walk(root)
    return {info.id: json.loads(info.to_wire(conf.RESULT_PREVIEW)) for info in infos}


def keys(load: Load) -> None:
    """Once all is removed, no key is left over."""
    queues = ("waiting:default", "delayed", "running")
    waiting = {name: get_store().connection.redis.zrange(name, 0, -1) for name in queues}
    assert not any(waiting.values()), waiting
    roots = {job.info.owner for job in load.jobs.values()}
    for root in roots:
        for member in get_store().tree.members(root):
            get_store().tree.remove(member)
    found = {key.decode() for key in get_store().connection.redis.keys("*")}
    passing = {key for key in found if key.startswith(PASSING_KEYS)}
    left = found - passing - {f"{root}:totals" for root in roots}
    assert left <= set(get_store().users.to_dict()), left


def processes() -> None:
    """No process is left over."""
    left = [process for process in psutil.Process().children(recursive=True) if is_alive(process)]
    assert not left, left


def is_alive(process: psutil.Process) -> bool:
    """Tell whether a process runs."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
