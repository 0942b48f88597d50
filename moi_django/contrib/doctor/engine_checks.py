"""Ask engines, all at once, how their hosts look to them, and say what is wrong with which."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moi_django.conf import conf
from moi_django.contrib.attachments.site_storage import get_attachment_storage
from moi_django.contrib.attachments.storage_id import NAME
from moi_django.contrib.doctor import engine_report
from moi_django.contrib.doctor.connection import Connection, ask_hub, judge_ports
from moi_django.contrib.doctor.engine_proof import describe_proof, is_compatible
from moi_django.contrib.doctor.finding import Finding, count, fault, note, ok
from moi_django.contrib.doctor.redis_checks import judge_error, judge_missing, judge_skew, paths_of
from moi_django.engine.pickling import PYTHON_VERSION
from moi_django.store import StoreConfig

# Seconds for which all answers are waited for, and for which a job that was sent is on its way.
TIMEOUT, ON_ITS_WAY = 2.5, 0.3
# How many engines are asked: the others are of the same hosts, most likely.
MOST_ASKED = 200
# Evaluated on an engine, whatever is installed there.
QUESTION = "exec(source, globals()) or report(asked)"


@dataclass(frozen=True, slots=True)
class Answers:
    """What engines have said."""

    # By the number of the engine; and how far its clock is before that of Redis, in seconds, and by
    # how much that may be wrong.
    reports: dict[int, dict[str, Any]]
    skews: dict[int, tuple[float, float]]
    # Those that are at work, and those that say nothing although they are not.
    busy: list[int]
    silent: list[int]
    # Those to which a job was sent that has not come.
    unreached: list[int]


def ask_engines(
    connection: Connection, engine_file: Path, numbers: list[int], skew: float
) -> Answers:
    """Ask engines, of which those answer that have no job.

    `skew` is how far our clock is before that of Redis.
    """
    import ipyparallel

    before = _queues(connection)
    source = Path(engine_report.__file__).read_text()
    given = {"source": source, "asked": _describe_question(engine_file)}
    client = ipyparallel.Client(str(connection.path), timeout=engine_report.TIMEOUT)
    try:
        asked = {
            number: (time.monotonic(), client[number].apply_async(eval, QUESTION, given))
            for number in numbers[:MOST_ASKED]
            if number in client.ids
        }
        reports, skews = dict[int, dict[str, Any]](), dict[int, tuple[float, float]]()
        until = time.monotonic() + TIMEOUT
        while len(reports) < len(asked) and time.monotonic() < until:
            client.wait([each for _, each in asked.values()], timeout=0.02)
            for number, (began, answer) in asked.items():
                if number not in reports and answer.ready():
                    report = reports[number] = _read(answer)
                    half = (time.monotonic() - began) / 2
                    skews[number] = report.get("time", 0.0) - time.time() + half + skew, half
    finally:
        client.close()
    time.sleep(ON_ITS_WAY)
    after = _queues(connection)
    silent = [number for number in asked if number not in reports]
    return Answers(
        reports,
        skews,
        [number for number in silent if _has_task(after, number)],
        [number for number in silent if not _has_task(after, number)],
        [number for number in reports if _is_unreached(before, after, number)],
    )


def _read(answer: Any) -> dict[str, Any]:
    try:
        report: dict[str, Any] = answer.get()
    except Exception as error:
        # ipyparallel raises whatever its parts raise.
        return {"error": str(error)}
    return report


def _describe_question(engine_file: Path) -> dict[str, Any]:
    asked: dict[str, Any] = {
        "redis": conf.engine_redis_url,
        "modules": list(describe_proof().imports),
        "paths": _needed_paths(),
        "storage": _storage_path(),
    }
    try:
        of_engines = Connection.read(engine_file)
    except (OSError, ValueError):
        return asked
    return {**asked, "host": of_engines.host, "ports": of_engines.ports}


def _needed_paths() -> list[str]:
    """Return the files that what runs on engines opens by their paths."""
    from django.conf import settings

    databases = [
        str(each["NAME"])
        for each in settings.DATABASES.values()
        if each.get("ENGINE", "").endswith("sqlite3") and Path(str(each["NAME"])).is_absolute()
    ]
    return [*paths_of(conf.engine_redis_url), *databases]


def _storage_path() -> str:
    storage = get_attachment_storage()
    directory = storage.directory if storage.site_id else None
    return str(directory / NAME) if directory else ""


def _queues(connection: Connection) -> dict[str, Any]:
    asked = {"targets": None, "verbose": False}
    return ask_hub(connection, "queue_request", **asked) or {}


def _has_task(queues: dict[str, Any], number: int) -> bool:
    return bool(queues.get(str(number), {}).get("tasks"))


def _is_unreached(before: dict[str, Any], after: dict[str, Any], number: int) -> bool:
    """Tell whether an engine that answers has had a job all the time: it did not get it."""
    was, now = (queues.get(str(number), {}) for queues in (before, after))
    # Our own question is what has been completed meanwhile.
    return bool(was.get("tasks") and now.get("tasks")) and now["completed"] - was["completed"] == 1


def examine_engines(answers: Answers, site: StoreConfig, where: str) -> list[Finding]:
    """Return what is found of engines."""
    found: list[Finding] = []
    for number, report in answers.reports.items():
        at = f"{where}, engine {number}"
        if "error" in report:
            text = f"cannot say how it is: {report['error']}"
            found.append(fault("engine-packages", text, "see its log", at))
            continue
        at += f" on {report['host']}"
        found += _examine_code(report, at)
        found += _examine_versions(report, at)
        found += _examine_ways(report, site.url, at)
        found += judge_skew(*answers.skews[number], at)
    for number in answers.unreached:
        text = "it was sent a job and did not get it, although it is there and has nothing to do"
        advice = "end that engine; see the firewall for connections that it drops when they idle"
        found.append(fault("task-connection", text, advice, f"{where}, engine {number}"))
    for number in answers.silent:
        text = "it has no job, and does not answer"
        advice = "run `python -m moi_django.doctor CONNECTION_FILE` on its host: ports may be shut"
        found.append(fault("port-mux", text, advice, f"{where}, engine {number}"))
    if answers.busy:
        text = f"{count(answers.busy)} at work, and not asked"
        found.append(ok("task-connection", text, where))
    return found


def _examine_code(report: Mapping[str, Any], at: str) -> list[Finding]:
    found = []
    if missing := report["missing"]:
        path = report["path"] or "not set"
        text = f"there is no module {', '.join(missing)} (PYTHONPATH: {path}; started in "
        text += f"{report['directory']} with {report['executable']})"
        advice = "have the code of the site there, and PYTHONPATH lead to it (PRELUDE, DIRECTORY)"
        found.append(fault("engine-imports", text, advice, at))
    settings, wanted = report["settings"], os.environ.get("DJANGO_SETTINGS_MODULE")
    if not report["has_settings"]:
        text = f"DJANGO_SETTINGS_MODULE is {settings!r}, and there is no such module"
        advice = f"start it with {wanted!r}, or with none for jobs without Django"
        found.append(fault("engine-settings", text, advice, at))
    elif settings is None and wanted:
        text = "DJANGO_SETTINGS_MODULE is not set: jobs that use the database fail"
        found.append(note("engine-settings", text, f"start it with {wanted!r}", at))
    elif settings != wanted:
        text = f"DJANGO_SETTINGS_MODULE is {settings!r}, that of the site {wanted!r}"
        found.append(note("engine-settings", text, "fine when that is on purpose", at))
    if not found:
        found.append(ok("engine-imports", "has the code of the site", at))
    return found


def _examine_versions(report: Mapping[str, Any], at: str) -> list[Finding]:
    found = []
    for package, wanted in describe_proof().versions:
        own = report["versions"][package]
        if not is_compatible(package, own, wanted):
            text = f"{package} is {own or 'missing'}, and {wanted} on the site"
            found.append(fault("engine-packages", text, f"install {package} {wanted} there", at))
        elif own != wanted:
            found.append(note("engine-packages", f"{package} is {own}, and {wanted} here", "", at))
    python = report["python"]
    if python.split(".")[:2] != PYTHON_VERSION.split("."):
        text = f"it has Python {python}, and the site {PYTHON_VERSION}: it takes no jobs of it"
        found.append(fault("engine-python", text, "start it with that of the site (PYTHON)", at))
    return found or [ok("engine-packages", f"has the same versions, Python {python}", at)]


def _examine_ways(report: Mapping[str, Any], url: str, at: str) -> list[Finding]:
    """Return what is found of what an engine reaches: Redis, ports, files."""
    found = []
    missing, of_redis = report["missing_paths"], paths_of(url)
    if lost := [path for path in missing if path in of_redis]:
        found.append(judge_missing(url, lost, at))
    elif report["redis"] and "error" in report["redis"]:
        found.append(judge_error(url, report["redis"], at))
    for path in missing:
        if path not in of_redis:
            text = f"{path} of the settings is not there: jobs that use that database fail"
            advice = "have it on a disk that hosts share, or use a database server"
            found.append(fault("engine-paths", text, advice, at))
    if any(report["ports"].values()):
        problems = {name: each for name, each in report["ports"].items() if each}
        given = Connection(
            Path("its file"), "the controller", False, "", dict.fromkeys(problems, 0), {}
        )
        found += judge_ports(given, {**problems, "": ""}, at)
    storage = get_attachment_storage()
    if storage.site_id and report["storage"] != storage.site_id:
        text = "it does not share the directory of the site's files: they come through Redis"
        advice = "keep `manage.py moi reconcile` running where that directory is"
        found.append(note("file-storage", text, advice, at))
    return found or [ok("redis-reachable", "reaches Redis and the controller", at)]
