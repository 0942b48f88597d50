"""The verb `manage.py moi cluster`: start, stop, scale and watch clusters of the settings.

What costs time to import is imported when it is needed.
"""

import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand

from moi_django.contrib.command_line.verb_base import (
    INTERRUPTED,
    Verb,
    describe_json,
    write_json,
    write_line,
)
from moi_django.exceptions import UsageError

# Seconds between two looks at engines that are waited for.
WAIT_INTERVAL = 1.0
# Columns of what is said of an engine.
ROW = "  {:<18} {:<12} {:<9} {}"


def _describe_cluster(parser: Any) -> None:
    """Start, stop, scale and watch the engines of contexts that have a LAUNCHER."""
    parser.add_argument("act", choices=[*ACTS], help="what to do")
    parser.add_argument(
        "what",
        nargs="?",
        metavar="ENGINES",
        help="start, scale: how many there are to be; logs: that of which, as `status` names it",
    )
    parser.add_argument(
        "--context", help="which cluster (default: the only one; status: each of them)"
    )
    parser.add_argument(
        "--wait",
        type=float,
        metavar="SECONDS",
        help="start, scale: return when as many engines are there, or after so long with code 1; "
        "stop: when all have ended",
    )
    parser.add_argument(
        "--now", action="store_true", help="stop: kill engines and their jobs, wait for none"
    )
    parser.add_argument(
        "--lines", type=int, default=50, help="logs: how many (default: %(default)s)"
    )
    describe_json(parser)


def _cluster(command: BaseCommand, options: dict[str, Any]) -> None:
    ACTS[options["act"]](command, options)


def _context(options: dict[str, Any]) -> Any:
    """Return the context that is meant; raise UsageError unless it is one."""
    from moi_django.contrib.clusters.context_settings import managed_contexts, read_context

    names = [options["context"]] if options["context"] else managed_contexts()
    if len(names) != 1:
        known = ", ".join(names) or "none has a LAUNCHER"
        raise UsageError(f"Name one with --context: {known}.")
    return read_context(names[0])


def _count(options: dict[str, Any]) -> int | None:
    if options["what"] is None:
        return None
    if not options["what"].isdecimal():
        raise UsageError(f"{options['what']!r} is no number of engines.")
    return int(options["what"])


def _start(command: BaseCommand, options: dict[str, Any]) -> None:
    from moi_django.contrib.clusters import scaling

    context, count = _context(options), _count(options)
    _write_change(command, options, context, scaling.start(context, count))
    _wait(command, options, context)


def _scale(command: BaseCommand, options: dict[str, Any]) -> None:
    from moi_django.contrib.clusters import scaling

    context, count = _context(options), _count(options)
    if count is None:
        raise UsageError("Say how many engines there are to be: moi cluster scale 4")
    _write_change(command, options, context, scaling.scale(context, count))
    _wait(command, options, context)


def _stop(command: BaseCommand, options: dict[str, Any]) -> None:
    from moi_django.contrib.clusters import scaling

    context = _context(options)
    _write_change(command, options, context, scaling.stop(context, options["now"]))
    _wait_for_end(command, options, context)


def _wait_for_end(command: BaseCommand, options: dict[str, Any], context: Any) -> None:
    """Return when no engine is left; end with code 1 when that takes long."""
    from moi_django.contrib.clusters.context_status import ManagedContext

    def has_ended() -> bool:
        listing = ManagedContext(context).launcher.list_slots()
        # Where not all can be asked, some may go on.
        return not listing.slots and not listing.problems

    if options["wait"] is not None and not _comes_true(has_ended, options["wait"]):
        command.stderr.write(f"{context.name}: engines go on: `moi cluster status` shows them")
        sys.exit(1)


def _comes_true(condition: Callable[[], bool], seconds: float) -> bool:
    """Tell whether something comes to pass in so many seconds; Ctrl-C ends the wait and all."""
    until = time.monotonic() + seconds
    try:
        while not (found := condition()) and time.monotonic() <= until:
            time.sleep(WAIT_INTERVAL)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    return found


def _write_change(command: BaseCommand, options: dict[str, Any], context: Any, change: Any) -> None:
    """Say what was done, in a line for each kind of it."""
    if options["json"]:
        write_json(command, {"context": context.name, **asdict(change)})
        return
    kind = "batch job" if context.is_batch else "started"
    ended = "ended" if options["act"] == "stop" else "started"
    said = {
        "controller {}": change.controller and f"{change.controller} {ended}",
        kind + " {}": ", ".join(change.submitted),
        "cancelled {}": ", ".join(change.cancelled),
        "killed {}": ", ".join(change.killed),
        "leaving: {}": change.leaving and _engines(len(change.leaving)),
        "{} of them once their jobs have ended": change.busy and str(len(change.busy)),
        "left out: {}": "; ".join(change.silent),
    }
    lines = [text.format(what) for text, what in said.items() if what]
    for line in lines or ["nothing to do"]:
        write_line(command, f"{context.name}: {line}")


def _engines(count: int) -> str:
    return f"{count} engine{'s' * (count != 1)}"


def _wait(command: BaseCommand, options: dict[str, Any], context: Any) -> None:
    """Return when there are as many engines as are wanted; end with code 1 when that takes long."""
    from moi_django.contrib.clusters.context_status import EngineCondition, ManagedContext

    if options["wait"] is None:
        return
    managed, there = ManagedContext(context), (EngineCondition.IDLE, EngineCondition.BUSY)

    def is_complete() -> bool:
        status = managed.read_status()
        return sum(map(status.count, there)) == status.wanted

    if _comes_true(is_complete, options["wait"]):
        return
    status = managed.read_status()
    command.stderr.write(_summary(status))
    command.stderr.write("\n".join(_rows(status)))
    sys.exit(1)


def _status(command: BaseCommand, options: dict[str, Any]) -> None:
    from moi_django.contrib.clusters.context_settings import managed_contexts, read_context
    from moi_django.contrib.clusters.context_status import (
        LEFT_BEHIND,
        ManagedContext,
        find_left_behind,
    )

    names = [options["context"]] if options["context"] else managed_contexts()
    found = [ManagedContext(read_context(name)).read_status() for name in names]
    if options["json"]:
        write_json(command, [status.to_dict() for status in found])
        return
    left = {} if options["context"] else find_left_behind()
    if not found and not left:
        write_line(command, "No context has a LAUNCHER.")
    for name, pid in left.items():
        write_line(command, f"{name}: controller {pid} runs: {LEFT_BEHIND.format(name=name)}")
    for status in found:
        write_line(command, "\n".join([_summary(status), *_rows(status)]))


def _summary(status: Any) -> str:
    counts = Counter(each.condition for each in status.engines)
    said = ", ".join(f"{count} {condition}" for condition, count in counts.items()) or "no engine"
    wanted = "" if status.wanted is None else f" of {_engines(status.wanted)}"
    if wanted and status.context.is_elastic:
        wanted += f" ({status.context.least} to {status.context.most})"
    at = "stopped" if status.wanted is None else "its controller is gone, `start` starts another"
    if status.controller is not None:
        at = f"controller {status.controller} at {status.address}"
    return f"{status.context.name} ({status.context.launcher}): {at}; {said}{wanted}"


def _rows(status: Any) -> list[str]:
    rows = [_row(each) for each in status.engines]
    return [*rows, *(f"  {problem}" for problem in status.all_problems)]


def _row(engine: Any) -> str:
    from moi_django.contrib.command_line.text_report import escape_terminal

    slot, more = engine.slot, []
    if slot is not None and slot.reason:
        more.append(escape_terminal(slot.reason))
    if engine.refusal:
        more.append(f"takes no job: {escape_terminal(engine.refusal)}")
    if engine.is_drained:
        more.append("drained")
    if engine.job is not None:
        more.append(f"{escape_terminal(engine.job.name)} ({engine.job.id})")
    if slot is not None and slot.left is not None and slot.age is not None:
        more.append(f"{_clock(slot.left)} left")
    name, host = (slot.id, slot.host) if slot else (engine.id, "")
    return ROW.format(name, host, engine.condition, ", ".join(more)).rstrip()


def _clock(seconds: float) -> str:
    from datetime import timedelta

    return str(timedelta(seconds=int(seconds)))


def _logs(command: BaseCommand, options: dict[str, Any]) -> None:
    from moi_django.contrib.clusters.context_status import ManagedContext

    managed, lines = ManagedContext(_context(options)), options["lines"]
    if options["what"]:
        text = managed.launcher.read_log(options["what"], lines)
    else:
        text = managed.controller.read_log(lines)
    if options["json"]:
        write_json(command, text.splitlines())
    else:
        write_line(command, text)


ACTS = {"start": _start, "stop": _stop, "status": _status, "scale": _scale, "logs": _logs}
VERBS = {"cluster": Verb(_describe_cluster, _cluster, needs_redis=False)}
