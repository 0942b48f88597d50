"""The verb that says whether all is well, for people and for what watches over services."""

import os
import sys
import threading
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand

from moi_django.contrib.command_line.verb_base import Verb, describe_json, write_json, write_line


def _describe_health(parser: Any) -> None:
    """Say whether Redis, engines and reconciler are well; exit code 1 when something is not."""
    describe_json(parser)


def _health(command: BaseCommand, options: dict[str, Any]) -> None:
    from moi_django.contrib.command_line.text_report import escape_terminal
    from moi_django.contrib.health.report import examine_all

    found = examine_all()
    is_well = all(finding.ok for finding in found)
    if options["json"]:
        write_json(command, {"ok": is_well, "findings": [asdict(finding) for finding in found]})
    else:
        width = max(len(finding.part) for finding in found)
        for finding in found:
            text = ": ".join(filter(None, [finding.text, finding.advice]))
            line = f"{finding.part:<{width}}  {text}"
            write_line(command, f"{'ok' if finding.ok else 'PROBLEM':<8} {escape_terminal(line)}")
    if not is_well:
        _exit(command)


def _exit(command: Any) -> None:
    """End with exit code 1, at once: a look at what hangs would be waited for."""
    from moi_django.contrib.health.report import THREAD

    command.stdout.flush()
    is_waited_for = any(thread.name == THREAD for thread in threading.enumerate())
    if is_waited_for and command._called_from_command_line:
        os._exit(1)
    sys.exit(1)


VERBS = {"health": Verb(_describe_health, _health, needs_redis=False)}
