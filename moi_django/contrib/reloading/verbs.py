"""The verb `manage.py moi engines`: list engines, and let them load the code of the site anew.

What costs time to import is imported when it is needed.
"""

import sys
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand

from moi_django.contrib.command_line.verb_base import (
    INTERRUPTED,
    Verb,
    describe_json,
    write_json,
    write_line,
)

HEAD = ("ENGINE", "STATE", "CONTEXT", "CODE", "JOB")
LATER = "What was asked loads its code anew once its job has ended."


def _describe_engines(parser: Any) -> None:
    """List engines and their code, or let them load that of the site anew: `engines restart`."""
    parser.add_argument(
        "act", nargs="?", choices=["restart"], help="load code anew, each when its job has ended"
    )
    parser.add_argument("--context", help="which cluster (default: all)")
    parser.add_argument(
        "--timeout", type=_seconds, metavar="SECONDS", help="how long to wait for jobs to end"
    )
    describe_json(parser)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < float("inf"):
        raise ValueError
    return seconds


def _engines(command: BaseCommand, options: dict[str, Any]) -> None:
    if options["act"] == "restart":
        _restart(command, options)
    elif options["json"]:
        write_json(command, [_engine_dict(each) for each in _find(options["context"])])
    else:
        write_line(command, "\n".join(_lines(_find(options["context"]))))


def _find(context: str | None) -> list[Any]:
    from moi_django.contrib.monitoring.cluster_state import EngineCondition, get_cluster_state
    from moi_django.contrib.operation.pauses import require_context

    wanted = require_context(context) if context else None
    return [
        each
        for each in get_cluster_state().engines
        if each.condition is not EngineCondition.GONE and wanted in (None, each.context)
    ]


def _restart(command: BaseCommand, options: dict[str, Any]) -> None:
    from moi_django.contrib.operation.pauses import engine_label
    from moi_django.contrib.reloading.restarts import RollingRestart

    engines = _find(options["context"])
    say = (lambda text: None) if options["json"] else partial(write_line, command)
    try:
        left = RollingRestart(engines, say).run(options["timeout"])
    except KeyboardInterrupt:
        command.stderr.write(LATER)
        sys.exit(INTERRUPTED)
    if options["json"]:
        write_json(command, [_engine_dict(each) for each in _find(options["context"])])
    if left:
        command.stderr.write(f"Not yet: {', '.join(map(engine_label, left))}. {LATER}")
        sys.exit(1)
    if not options["json"]:
        write_line(command, f"Restarted: {len(engines)}." if engines else "There is no engine.")


def _lines(engines: list[Any]) -> list[str]:
    """Return a table of engines, and the digest of the site before it."""
    from moi_django.contrib.command_line.text_report import escape_terminal
    from moi_django.contrib.operation.pauses import engine_label
    from moi_django.contrib.reloading.site_code import read_code

    rows = [
        HEAD,
        *(
            (
                engine_label(each),
                each.condition + (" (to be restarted)" if each.restart else ""),
                each.context,
                f"{each.metrics.code} ({_compared(each)})" if each.metrics.code else "unknown",
                each.job.name if each.job else "",
            )
            for each in engines
        ),
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
    site = read_code()
    digest = site.digest if site.parts else "unknown, its packages are installed"
    return [f"Code of the site: {digest}", *map(escape_terminal, table)]


def _compared(engine: Any) -> str:
    return "other than the site's" if engine.has_other_code else "that of the site"


def _engine_dict(engine: Any) -> dict[str, Any]:
    return {
        "id": engine.id,
        "host": engine.metrics.host,
        "pid": engine.metrics.pid,
        "context": engine.context,
        "state": engine.condition,
        "code": engine.metrics.code,
        "has_other_code": engine.has_other_code,
        "restart": engine.restart,
        "job": engine.job and engine.job.id,
    }


VERBS = {"engines": Verb(_describe_engines, _engines)}
