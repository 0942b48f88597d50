"""The verbs of an operator: `manage.py moi pause`, `resume`, `drain` and `prefer`.

What costs time to import is imported when it is needed.
"""

import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand

from moi_django.conf import DEFAULT_CONTEXT, conf
from moi_django.contrib.command_line.verb_base import (
    INTERRUPTED,
    Verb,
    describe_job_id,
    describe_json,
    find_job,
    write_json,
    write_line,
)

# Seconds between two looks at what still runs.
WAIT_INTERVAL = 0.5
# How many of the jobs that still run are named.
NAMED = 3


def _describe_pause(parser: Any) -> None:
    """Let no further job of a context begin; what runs goes on."""
    _describe_contexts(parser)
    describe_json(parser)


def _describe_resume(parser: Any) -> None:
    """Let jobs of a context begin again, or let an engine that was drained take some."""
    _describe_engine(_describe_contexts(parser))
    describe_json(parser)


def _describe_drain(parser: Any) -> None:
    """Let no further job begin in a context or on an engine, and wait until none runs there."""
    _describe_engine(_describe_contexts(parser))
    parser.add_argument("--wait", action="store_true", help="return when nothing runs there")
    describe_json(parser)


def _describe_contexts(parser: Any) -> Any:
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--context", default=DEFAULT_CONTEXT, help="which cluster (default: %(default)s)"
    )
    what.add_argument("--all", action="store_true", help="every context of the settings")
    return what


def _describe_engine(what: Any) -> None:
    what.add_argument(
        "--engine", metavar="ID", help="an engine: its id, the beginning of that, or HOST:PID"
    )


def _pause(command: BaseCommand, options: dict[str, Any]) -> None:
    from moi_django.contrib.operation import pauses

    said = {name: _said(pauses.pause(name), "paused") for name in _contexts(options)}
    _write_contexts(command, options, said)


def _resume(command: BaseCommand, options: dict[str, Any]) -> None:
    from moi_django.contrib.operation import pauses

    if options["engine"]:
        engine = pauses.find_engine(options["engine"])
        said = "resumed" if pauses.resume_engine(engine) else "was not drained"
        _write_engine(command, options, engine, said)
        return
    names = _contexts(options)
    resumed = {name: "resumed" if pauses.resume(name) else "was not paused" for name in names}
    _write_contexts(command, options, resumed)


def _drain(command: BaseCommand, options: dict[str, Any]) -> None:
    from moi_django.contrib.operation import pauses

    if options["engine"]:
        engine = pauses.find_engine(options["engine"])
        said = _said(pauses.drain_engine(engine), "drained")
        write = partial(_write_engine, command, options, engine, said)
        look = partial(pauses.running_jobs, engine=engine.id)
        resume = f"--engine={engine.id}"
    else:
        names = _contexts(options)
        said_of = {name: _said(pauses.pause(name), "paused") for name in names}
        write = partial(_write_contexts, command, options, said_of)
        look = partial(pauses.running_jobs, names)
        resume = "--all" if options["all"] else f"--context={names[0]}"
    if not options["wait"]:
        write()
    elif options["json"]:
        _wait(command, look, resume, says=False)
        write()
    else:
        write()
        _wait(command, look, resume, says=True)


def _contexts(options: dict[str, Any]) -> list[str]:
    from moi_django.contrib.operation import pauses

    return [*conf.CONTEXTS] if options["all"] else [pauses.require_context(options["context"])]


def _said(is_new: bool, word: str) -> str:
    return word if is_new else f"was {word} before"


def _wait(command: BaseCommand, look: Callable[[], list[Any]], resume: str, *, says: bool) -> None:
    """Return when nothing runs; if it `says` so, with a line whenever what runs is another."""
    told: set[str] = set()
    try:
        while running := look():
            ids = {info.id for info in running}
            if says and ids != told:
                write_line(command, _running_line(running))
            told = ids
            time.sleep(WAIT_INTERVAL)
    except KeyboardInterrupt:
        command.stderr.write(f"Nothing begins there before manage.py moi resume {resume}")
        sys.exit(INTERRUPTED)
    if says:
        write_line(command, "Nothing runs there any more.")


def _running_line(running: list[Any]) -> str:
    from moi_django.contrib.command_line.text_report import escape_terminal

    named = ", ".join(f"{escape_terminal(info.name)} ({info.id})" for info in running[:NAMED])
    more = f" and {len(running) - NAMED} more" if len(running) > NAMED else ""
    return f"Still running: {named}{more}"


def _write_contexts(command: BaseCommand, options: dict[str, Any], said: dict[str, str]) -> None:
    from moi_django.contrib.operation import pauses
    from moi_django.site_store import get_store
    from moi_django.store import policy

    if not options["json"]:
        write_line(command, "\n".join(f"Context {name}: {text}" for name, text in said.items()))
        return
    fields = get_store().policy.read()
    write_json(
        command,
        [
            {
                "context": name,
                "paused": fields.get(policy.paused(name)),
                "running": [info.id for info in pauses.running_jobs([name])],
            }
            for name in said
        ],
    )


def _write_engine(command: BaseCommand, options: dict[str, Any], engine: Any, said: str) -> None:
    from moi_django.contrib.operation import pauses
    from moi_django.site_store import get_store
    from moi_django.store import policy

    if not options["json"]:
        write_line(command, f"Engine {pauses.engine_label(engine)}: {said}")
        return
    drained = get_store().policy.read().get(policy.drained(engine.id))
    running = [info.id for info in pauses.running_jobs(engine=engine.id)]
    write_json(command, {"engine": engine.id, "drained": drained, "running": running})


def _describe_prefer(parser: Any) -> None:
    """Let a waiting job be the next of its queue."""
    describe_job_id(parser)
    describe_json(parser)


def _prefer(command: BaseCommand, options: dict[str, Any]) -> None:
    from moi_django.contrib.operation import pauses

    info = find_job(options["job_id"]).info
    pauses.prefer(info)
    if options["json"]:
        write_json(command, info.to_dict())
    else:
        command.stdout.write(f"Moved to the front, job id: {info.id}")


VERBS = {
    "prefer": Verb(_describe_prefer, _prefer),
    "pause": Verb(_describe_pause, _pause),
    "resume": Verb(_describe_resume, _resume),
    "drain": Verb(_describe_drain, _drain),
}
