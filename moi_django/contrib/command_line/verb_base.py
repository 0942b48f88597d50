"""What a verb of `manage.py moi` is, and what verbs have in common, those of optional parts too."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from django.core.management.base import BaseCommand

from moi_django.exceptions import JobNotFound, MoiError

# The exit code of what is ended by Ctrl-C.
INTERRUPTED = 130


class Verb(NamedTuple):
    """A verb: one function describes it to a parser, another runs it for a command."""

    # Its docstring is the help.
    describe: Callable[[Any], None]
    run: Callable[[BaseCommand, dict[str, Any]], None]
    # False for one that can do without Redis, or starts it.
    needs_redis: bool = True


def describe_job_id(parser: Any) -> None:
    """Let people say which job."""
    parser.add_argument("--job-id", required=True, help="the id that submit printed")


def describe_json(parser: Any) -> None:
    """Let programs ask for what they can read."""
    parser.add_argument("--json", action="store_true", help="write JSON")


def find_job(id: str) -> Any:
    """Return a job, or raise JobNotFound in the words of moi 0.2."""
    from moi_django.jobs.api import Job
    from moi_django.validation import is_uuid

    if not is_uuid(id):
        raise JobNotFound("Does not look like a job id")
    try:
        return Job.get(id)
    except JobNotFound as error:
        raise JobNotFound("Job ID not found") from error


def write_line(command: BaseCommand, text: str) -> None:
    """Write a line that is read at once."""
    command.stdout.write(text)
    command.stdout.flush()


def write_json(command: BaseCommand, value: Any) -> None:
    """Write what programs read."""
    command.stdout.write(json.dumps(value, indent=2))


def not_installed(error: ModuleNotFoundError, extra: str) -> MoiError:
    """Return what to raise when an optional package is not there."""
    return MoiError(f"{error.name} is missing: `pip install 'moi_django[{extra}]'`.")
