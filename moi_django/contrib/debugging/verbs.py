"""The verb that debugs a job."""

import sys
from typing import Any

from django.core.management.base import BaseCommand

from moi_django.contrib.command_line.verb_base import INTERRUPTED, Verb, describe_job_id, find_job
from moi_django.exceptions import MoiError


def _describe_run(parser: Any) -> None:
    """Run the function of a job here, with breakpoints; nothing is written."""
    describe_job_id(parser)


def _run(command: BaseCommand, options: dict[str, Any]) -> None:
    from bdb import BdbQuit

    from moi_django.contrib.debugging.foreground import run_in_foreground
    from moi_django.engine.invocation import format_error

    info = find_job(options["job_id"]).info
    try:
        value = run_in_foreground(info, command.stderr.write)
    except MoiError:
        raise
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:
        if not isinstance(error, BdbQuit):  # who leaves the debugger knows where it was
            command.stderr.write(format_error(error))
        sys.exit(1)
    command.stdout.write(repr(value))


VERBS = {"run": Verb(_describe_run, _run)}
