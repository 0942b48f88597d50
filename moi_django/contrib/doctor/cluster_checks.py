"""Look at a context from the site: its file, its controller, its launcher, its engines."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from moi_django.cluster.connections import connection_file
from moi_django.conf import conf
from moi_django.contrib.checks.site import check_layer
from moi_django.contrib.clusters.context_settings import managed_contexts, read_context
from moi_django.contrib.clusters.context_status import (
    LEFT_BEHIND,
    ContextStatus,
    EngineCondition,
    ManagedContext,
    find_left_behind,
)
from moi_django.contrib.clusters.host_processes import read_end
from moi_django.contrib.doctor.connection import (
    Connection,
    examine_file,
    examine_key,
    examine_loopback,
    examine_ports,
)
from moi_django.contrib.doctor.engine_checks import ask_engines, examine_engines
from moi_django.contrib.doctor.engine_report import ask_redis
from moi_django.contrib.doctor.finding import Finding, Level, count, fault, in_order, note, ok
from moi_django.contrib.doctor.redis_checks import examine_redis, paths_of
from moi_django.contrib.health.heartbeat import seconds_since_reconciled
from moi_django.exceptions import NotRunning, UsageError
from moi_django.site_store import engine_store_config, get_store
from moi_django.store.connection import without_secret
from moi_django.store.engines import EngineReport

# Files that a controller has open besides those of engines, and that one more engine takes.
RESERVE, PER_ENGINE = 64, 2
# Lines of the log of an engine that did not start.
LOG_LINES = 24
# Seconds since an engine has spoken that is there, and after which a reconciler is not.
RECENT, RECONCILER_AGE = 15.0, 90.0
# Seconds in which a launcher has to say what it has.
STATUS_TIMEOUT = 2.0


def examine_site(contexts: Iterable[str]) -> list[Finding]:
    """Return what is found of the site and of some of its contexts, all looked at at once."""
    has_redis = _has_redis()
    looks = [_examine_layer, examine_site_redis]
    looks += [partial(examine_context, name, has_redis) for name in contexts]
    looks.append(_examine_left_behind)
    with ThreadPoolExecutor(len(looks)) as threads:
        found = [finding for each in threads.map(lambda look: look(), looks) for finding in each]
    return in_order(found)


def _has_redis() -> bool:
    """Tell whether Redis answers at all: else whatever needs it would wait for it, for long."""
    try:
        return "error" not in ask_redis(conf.redis_url)
    except NotRunning:
        return False


def examine_site_redis() -> list[Finding]:
    """Return what is found of Redis, as this host reaches it."""
    try:
        found = examine_redis(conf.redis_url)
    except NotRunning as error:
        return [fault("redis-reachable", str(error).rstrip("."))]
    if not conf.configured_redis_url:  # that of `moi up` keeps jobs as long as that is meant to
        found = [each for each in found if not each.check.endswith(("eviction", "persistence"))]
    url = conf.engine_redis_url
    is_elsewhere = any(_is_elsewhere(name) for name in conf.CONTEXTS)
    if url.startswith("unix:") and is_elsewhere:
        text = f"engines of other hosts are to reach Redis at {without_secret(url)}, a socket here"
        found.append(fault("engine-paths", text, "give ENGINE_REDIS_URL a rediss:// address"))
    elif is_elsewhere and urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1"):
        text = f"engines of other hosts are to reach Redis at {without_secret(url)}"
        advice = "name it in ENGINE_REDIS_URL as they reach it"
        found.append(note("redis-reachable", text, advice))
    if files := paths_of(url):
        found.append(ok("engine-paths", f"engines need {', '.join(files)}"))
    return found


def _examine_left_behind() -> list[Finding]:
    return [
        note("launcher", f"controller {pid} runs", LEFT_BEHIND.format(name=name), name)
        for name, pid in find_left_behind().items()
    ]


def _examine_layer() -> list[Finding]:
    checks = check_layer()
    found = [fault("channel-layer", check.msg.rstrip("."), str(check.hint)) for check in checks]
    return found or [ok("channel-layer", "can be made")]


def _is_elsewhere(context: str) -> bool:
    """Tell whether engines of a context are on other hosts, as its launcher says."""
    return conf.CONTEXTS[context].get("LAUNCHER") not in (None, "local", "mpi")


def examine_context(name: str, has_redis: bool = True) -> list[Finding]:
    """Return what is found of a context; without Redis, that which can be known so."""
    if conf.CONTEXTS[name].get("BACKEND") == "immediate":
        return [ok("connection-file", "jobs run in who submits them", name)]
    found, status = list[Finding](), None
    if name in managed_contexts() and has_redis:
        found, status = _examine_cluster(name)
        if status is not None and status.wanted is None and not status.wanted_problem:
            return found
    broken, connection = examine_file(connection_file(name), name)
    if connection is None:
        return [*found, *broken]
    found += examine_loopback(connection, _is_elsewhere(name), name)
    ports = examine_ports(connection, name)
    found += ports
    if any(each.level is Level.FAULT and each.check != "port-control" for each in ports):
        return found
    answered, engines = examine_key(connection, name)
    found += answered
    if engines is None:
        return found
    found += examine_open_files(connection, len(engines), status, name)
    return [*found, *(_examine_all_engines(connection, engines, status, name) if has_redis else [])]


def _examine_cluster(name: str) -> tuple[list[Finding], ContextStatus | None]:
    """Return what is found of a context with a LAUNCHER, and how it is if that is said in time."""
    try:
        context = read_context(name)
    except UsageError as error:
        return [fault("launcher", str(error).rstrip("."), "see `manage.py check`", name)], None
    status = _within(STATUS_TIMEOUT, ManagedContext(context).read_status)
    if status is not None:
        return examine_launcher(status), status
    system = "its batch system" if context.is_batch else "a host"
    text = f"does not say within {STATUS_TIMEOUT:g} s which engines it has"
    advice = f"see whether its controller or {system} hangs, or this one is busy: "
    advice += "`moi cluster status` waits for longer"
    return [fault("launcher", text, advice, name)], None


def _within(seconds: float, look: Callable[[], ContextStatus]) -> ContextStatus | None:
    """Return what a look finds, or None when it takes longer; it is left to itself then."""
    found: Future[ContextStatus] = Future()

    def keep() -> None:
        try:
            found.set_result(look())
        except Exception as error:
            found.set_exception(error)

    threading.Thread(target=keep, daemon=True).start()
    try:
        return found.result(seconds)
    except TimeoutError:
        return None


def _examine_all_engines(
    connection: Connection, engines: dict[str, str], status: ContextStatus | None, name: str
) -> list[Finding]:
    found, store = [], get_store()
    began = time.monotonic()
    # How far our clock is before that of Redis.
    skew = time.time() - store.connection.server_time() - (time.monotonic() - began) / 2
    reports = store.engines.reports()
    engine_file = connection.path.with_name(connection.path.name.replace("-client", "-engine"))
    numbers = sorted(map(int, engines))
    answers = ask_engines(connection, engine_file, numbers, skew)
    found += examine_engines(answers, engine_store_config(), name)
    if status is None:
        present = store.connection.server_time()
        found += [
            _cut_off(f"{name}, {report.metrics.host}:{report.metrics.pid}")
            for id, report in reports.items()
            if present - report.at < RECENT
            and report.metrics.context == name
            and id not in engines.values()
        ]
    return [*found, *_find_refusals(found, engines, reports, name), *_find_receiver(found, name)]


def _find_refusals(
    found: list[Finding], engines: dict[str, str], reports: dict[str, EngineReport], name: str
) -> Iterator[Finding]:
    """Yield which engines take no job for a reason that was not found."""
    known = {each.where for each in found if each.level is Level.FAULT}
    for number, id in engines.items():
        if id in reports and (refusal := reports[id].metrics.refusal):
            at = f"{name}, engine {number} on {reports[id].metrics.host}"
            if at not in known:
                advice = "run `python -m moi_django.doctor` on its host, and see its log"
                yield fault("engine-imports", f"takes no job: {refusal}", advice, at)


def _find_receiver(found: list[Finding], name: str) -> Iterator[Finding]:
    """Yield that nobody takes files of engines that have to send them, if that is so."""
    if any(each.check == "file-storage" for each in found):
        age = seconds_since_reconciled()
        if age is None or age > RECONCILER_AGE:
            text = "nobody takes the files of engines that do not share their directory"
            advice = "keep `manage.py moi reconcile` running: jobs that attach files fail"
            yield fault("file-storage", text, advice, name)


def _cut_off(where: str) -> Finding:
    text = "it lives, and its controller does not know it: it gets no work"
    advice = "it was cut off for too long: end it and start another one (`moi cluster` does so)"
    return fault("cut-off", text, advice, where)


def examine_launcher(status: ContextStatus) -> list[Finding]:
    """Return what is found of the engines that a launcher has."""
    name, found = status.context.name, [*_examine_number(status)]
    for problem in [*status.problems, *status.silent.values()]:
        found.append(fault("launcher", problem, f"`moi cluster logs --context={name}`", name))
    pending = [each for each in status.engines if each.condition is EngineCondition.PENDING]
    if pending:
        reasons = sorted({each.slot.reason for each in pending if each.slot and each.slot.reason})
        text = f"{count(pending)} pending in the batch system: {', '.join(reasons) or 'no reason'}"
        is_all = len(pending) == len(status.useful)
        advice = "see QUEUE, MEMORY, GPUS and TIME beside what its nodes have"
        found.append((fault if is_all else note)("pending", text, advice, name))
    for engine in status.engines:
        if engine.condition is EngineCondition.CUT_OFF:
            at = engine.slot.id if engine.slot else engine.id
            found.append(_cut_off(f"{name}, {at}"))
    return found or [ok("launcher", f"has {count(status.engines)}", name)]


def _examine_number(status: ContextStatus) -> Iterator[Finding]:
    """Yield why there are fewer engines than there are to be, or none."""
    name, wanted = status.context.name, status.wanted
    said, start = _log_text(status), f"`moi cluster start --context={name}`"
    if status.wanted_problem:
        yield fault("launcher", status.wanted_problem.rstrip("."), where=name)
    elif wanted is None:
        yield note("launcher", f"is stopped: {start}", said, name)
    elif status.controller is None:
        text = "its controller is gone, or not on this host"
        yield fault("launcher", text, f"{start} starts another", name)
    elif len(status.useful) < wanted and not status.problems:
        text = f"there are {len(status.useful)} of {wanted} engines"
        yield fault("launcher", text, said or "see its log", name)


def _log_text(status: ContextStatus) -> str:
    said = read_latest_log(status.context.directory / "log")
    return f"the latest log of one ends with: {said}" if said else ""


def read_latest_log(directory: Path) -> str:
    """Return the last lines that an engine or mpiexec has written, in one."""
    logs = [each for each in directory.glob("*.log") if not each.name.startswith("controller-")]
    latest = max(logs, key=lambda file: file.stat().st_mtime, default=None)
    if latest is None:
        return ""
    lines = (line.strip() for line in read_end(latest, LOG_LINES).splitlines())
    return " | ".join(line for line in lines if line.strip("-= "))


def examine_open_files(
    connection: Connection, engines: int, status: ContextStatus | None, where: str
) -> list[Finding]:
    """Return whether the controller, if it is on this host, may open enough files."""
    more = max(0, (status.wanted or 0) - engines) if status else 0
    found = []
    for process in _controller_processes(connection.ports["registration"]):
        try:
            limit, used = process.rlimit(psutil.RLIMIT_NOFILE)[0], process.num_fds()
        except psutil.Error:
            continue
        if used + more * PER_ENGINE + RESERVE > limit:
            text = f"process {process.pid} of the controller has {used} of {limit} files open"
            text += f", and {more} engines are still to come" if more else ""
            advice = "start it with a higher `ulimit -n`: at the limit no engine works any more"
            found.append(fault("open-files", text, advice, where))
    return found[:1] or [ok("open-files", "the controller may open enough files", where)]


def _controller_processes(port: int) -> list[psutil.Process]:
    """Return who listens at a port of this host, and what it has started."""
    try:
        listening = {
            each.pid
            for each in psutil.net_connections("tcp")
            if each.status == psutil.CONN_LISTEN and each.laddr and each.laddr.port == port
        }
        found = [psutil.Process(pid) for pid in listening if pid]
        parents = [process.parent() or process for process in found]
        return [*found, *(child for each in parents for child in each.children())]
    except psutil.Error:
        return []
