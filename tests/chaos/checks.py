"""What has to be so when all has come to rest."""

import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil

from moi_django.conf import conf
from moi_django.contrib.history.models import PastJob
from moi_django.models import Info, timestamp
from moi_django.site_store import get_store
from tests.chaos.load import Load
from tests.chaos.pages import Page
from tests.chaos.site import Site, own_processes

# Seconds for everything to come to rest after the last blow, and for pages to show it.
REST, SHOWN = 90.0, 30.0
# And for processes to end that nothing needs any more.
GONE = 10.0
# And for who hears of events to have dealt with all of them.
TOLD = 60.0
PASSING_KEYS = (
    *("workers:", "lingering:", "wake:", "claims", "queues", "sequence"),
    *("engine", "ended:", "used:", "usage:", "durations:", "user-id-map"),
    *("events-reader:", "metrics"),
)


def until(condition: Callable[[], bool], seconds: float, what: Callable[[], str]) -> float:
    """Wait for something; return the seconds that took, or fail."""
    begun = time.monotonic()
    while not condition():
        if time.monotonic() - begun > seconds:
            raise AssertionError(f"not within {seconds} s: {what()}")
        time.sleep(0.2)
    return time.monotonic() - begun


def rest(site: Site, load: Load) -> float:
    """Every job has its end; return the seconds until that was so."""

    def is_over() -> bool:
        site.keep_running()
        return not unfinished(load) and not in_queues()

    return until(is_over, REST, lambda: f"no end: {unfinished(load)}, {in_queues()}")


def in_queues() -> list[bytes]:
    """Return what waits or runs, also of jobs of which nobody knows that they were submitted."""
    queue, keys = get_store().queue, get_store().keys
    names = [keys.blocked, keys.delayed, keys.running, *map(keys.waiting, queue.names())]
    return [each for name in names for each in get_store().connection.redis.zrange(name, 0, -1)]


def unfinished(load: Load) -> list[Info]:
    """Return the jobs that have no end."""
    return [job.info for job in load.jobs.values() if not job.refresh().finished]


def runs(site: Site, load: Load) -> int:
    """Nothing has run more often than it was to; return the number of runs."""
    begun = Counter(process.number for process in site.processes())
    for number, job in load.jobs.items():
        assert begun[number] <= job.info.attempt <= job.info.attempts, job.info
        assert begun[number] or str(job.state) != "success", job.info
    for number, attempts in load.refused.items():
        assert begun[number] <= attempts, f"job {number}, which was refused: {begun[number]} runs"
    return sum(begun.values())


def losses(site: Site, load: Load) -> int:
    """Only what had begun on an engine that was hit is lost; return how many jobs that are."""
    pids = {id: report.metrics.pid for id, report in get_store().engines.reports().items()}
    hits = [hit for hit in site.hits if hit.kind != "job" and hit.is_long]
    lost = [job.info for job in load.jobs.values() if str(job.state) == "lost"]
    for info in lost:
        assert info.date_start, f"it had not begun: {info}"
        begun, ended = timestamp(info.date_start), timestamp(info.date_end)
        reasons = [hit for hit in hits if hit.engine == pids.get(info.engine)]
        assert any(hit.was_between(begun, ended) for hit in reasons), (
            f"nothing had hit its engine: {info}; {reasons}"
        )
    return len(lost)


def failures(site: Site, load: Load) -> list[float]:
    """What failed says why: it raised an error, or its process was killed.

    Returns of each that was killed after how many seconds that was known.
    """
    killed = {hit.pid: hit.at for hit in site.hits if hit.kind == "job" and hit.is_death}
    processes, known = site.processes(), []
    hits = [hit for hit in site.hits if hit.kind != "job"]
    for number, job in load.jobs.items():
        latest = [each for each in processes if each.number == number][-1:]
        was_killed = any(each.pid in killed and not each.is_done for each in latest)
        state, result = str(job.state), str(job.info.result)
        assert not (was_killed and state == "success"), job.info
        if state != "failed" or f"job {number} fails" in result:
            continue
        assert was_killed, f"nobody has killed it: {job.info}"
        at = killed[latest[0].pid]
        if not any(hit.engine == latest[0].engine and hit.is_near(at) for hit in hits):
            assert "was killed by signal 9" in result, job.info
            known.append(timestamp(job.info.date_end) - at)
    assert all(seconds < conf.LEASE for seconds in known), known
    return known


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


def told(load: Load) -> float:
    """The history has been told of the end of every job; return the seconds until that was so."""

    def missing() -> set[str]:
        return {job.id for job in load.jobs.values()} - set(
            PastJob.objects.values_list("pk", flat=True)
        )

    return until(lambda: not missing(), TOLD, lambda: f"nobody was told of {missing()}")


def keys(load: Load) -> None:
    """Once all is removed, no key is left over."""
    assert not in_queues(), in_queues()
    roots = {job.info.owner for job in load.jobs.values()}
    for root in roots:
        for member in get_store().tree.members(root):
            get_store().tree.remove(member)
    redis = get_store().connection.redis
    until(lambda: not redis.xlen("events"), TOLD, lambda: "events are left that nobody has taken")
    found = {key.decode() for key in redis.keys("*")} - {"events"}
    passing = {key for key in found if key.startswith(PASSING_KEYS)}
    left = found - passing - {f"{root}:totals" for root in roots}
    assert left <= set(get_store().users.to_dict()), left


def processes(directory: Path) -> None:
    """No process is left over, of the site or of its jobs, daemons included."""

    def left() -> list[psutil.Process]:
        return [process for process in own_processes(directory) if is_alive(process)]

    until(lambda: not left(), GONE, lambda: f"these processes are left: {left()}")


def is_alive(process: psutil.Process) -> bool:
    """Tell whether a process runs."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
