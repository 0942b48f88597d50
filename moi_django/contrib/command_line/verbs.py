"""The verbs that submit jobs, show them, act on them and look after them."""

import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand

from moi_django.conf import DEFAULT_CONTEXT, NO_USER, conf
from moi_django.contrib.command_line.verb_base import (
    INTERRUPTED,
    Verb,
    describe_job_id,
    describe_json,
    find_job,
    write_json,
    write_line,
)
from moi_django.exceptions import (
    GroupNotFound,
    InvalidJob,
    JobNotFound,
    UnknownContext,
    UsageError,
)
from moi_django.models import State


def _describe_submit(parser: Any) -> None:
    """Send a shell command or Python code to a cluster."""
    parser.add_argument("--cmd", required=True, help="what to run")
    parser.add_argument(
        "--cmd-type",
        choices=["python", "system"],
        default="python",
        help="python: the body of a function, `return` gives the result (default); system: a shell",
    )
    parser.add_argument("--user", default=NO_USER, help="whose job it is (default: %(default)s)")
    parser.add_argument("--name", default="no-user-cmd-submit", help="what people call the job")
    parser.add_argument(
        "--context", default=DEFAULT_CONTEXT, help="which cluster (default: %(default)s)"
    )
    parser.add_argument(
        "--timeout", type=float, metavar="SECONDS", help="how long one run may take"
    )
    parser.add_argument("--retries", type=int, default=0, metavar="N", help="runs after a failure")
    parser.add_argument(
        "--backoff", type=float, default=1.0, metavar="SECONDS", help="before the first of them"
    )
    parser.add_argument(
        "--retry-on-lost", action="store_true", help="also run it again when its engine dies"
    )
    parser.add_argument(
        "--priority", type=int, default=0, metavar="N", help="higher ones come first, up to 100"
    )
    parser.add_argument("--limit", metavar="NAME", help="what it needs a place of, as LIMITS says")
    parser.add_argument(
        "--after", action="append", default=[], metavar="ID", help="a job or group that ends first"
    )
    parser.add_argument(
        "--on-failure",
        choices=["skip", "run"],
        default="skip",
        help="what to do when one of these does not succeed (default: %(default)s)",
    )
    parser.add_argument(
        "--run-after", metavar="TIME", help="seconds from now, or such as 2026-12-24T08:00+01:00"
    )
    parser.add_argument("--unique", metavar="KEY", help="no second one while this is unfinished")
    parser.add_argument("--notify", metavar="WORDS", help="who is told of its end")
    parser.add_argument("--process", metavar="NAME", help="share a process with jobs of this name")
    parser.add_argument("--block", action="store_true", help="wait for the end and show the job")
    parser.add_argument("--no-block", action="store_false", dest="block", help="do not (default)")
    describe_json(parser)


def _submit(command: BaseCommand, options: dict[str, Any]) -> None:
    from moi_django.jobs.api import submit

    call, how = _checked_call(options)
    context, user, name = options["context"], options["user"], options["name"]
    job = submit(context, user, name, None, call, options["cmd"], options=how)
    if not options["json"]:
        write_line(command, f"Submitted job id: {job.id}")
    if options["block"]:
        try:
            job.wait()
        except KeyboardInterrupt:
            command.stderr.write(f"The job goes on: manage.py moi job --job-id={job.id}")
            sys.exit(INTERRUPTED)
    if options["json"] or options["block"]:
        _write_job(command, options, job.info)
    if options["block"] and job.state is not State.SUCCESS:
        sys.exit(1)


def _checked_call(options: dict[str, Any]) -> tuple[Callable[..., Any], Any]:
    """Return what is to run and how; raise UsageError when that makes no sense."""
    from moi_django.contrib.command_line.python_code import check_python, python_call
    from moi_django.engine.calls import system_call
    from moi_django.options import Options

    names = [
        *("retries", "backoff", "retry_on_lost", "timeout", "priority", "limit"),
        *("after", "on_failure", "unique", "notify", "process"),
    ]
    try:
        conf.context(options["context"])
        given = {name: options[name] for name in names}
        how = Options(**given, run_after=_begin_time(options["run_after"]))
        if options["cmd_type"] == "system":
            return system_call, how
        check_python(options["cmd"])
        return python_call, how
    except SyntaxError as error:
        raise UsageError(f"--cmd is no Python code: {error}") from error
    except (InvalidJob, UnknownContext) as error:
        raise UsageError(str(error)) from error


def _begin_time(text: str | None) -> datetime | timedelta | None:
    """Return when to begin; raise UsageError for what is neither seconds nor a time."""
    if text is None:
        return None
    try:
        with suppress(ValueError):
            return timedelta(seconds=float(text))
        return datetime.fromisoformat(text)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"--run-after {text!r} is no time: {error}") from error


def _describe_job(parser: Any) -> None:
    """Show a job."""
    describe_job_id(parser)
    describe_json(parser)


def _job(command: BaseCommand, options: dict[str, Any]) -> None:
    _write_job(command, options, find_job(options["job_id"]).info)


def _write_job(command: BaseCommand, options: dict[str, Any], info: Any) -> None:
    from moi_django.contrib.command_line import text_report
    from moi_django.contrib.standings.lookup import find_standing
    from moi_django.contrib.standings.place_text import describe_place

    if options["json"]:
        standing = find_standing(info)
        write_json(command, info.to_dict() | (asdict(standing) if standing else {}))
    else:
        block = text_report.detail_block(info, describe_place(info))
        command.stdout.write(block, ending="")


def _describe_logs(parser: Any) -> None:
    """Show what a job has printed and logged."""
    describe_job_id(parser)
    parser.add_argument("--follow", action="store_true", help="go on until the job has ended")
    describe_json(parser)


def _logs(command: BaseCommand, options: dict[str, Any]) -> None:
    from moi_django.contrib.command_line.ansi import leaves_colours
    from moi_django.contrib.command_line.text_report import output_lines
    from moi_django.site_store import get_store

    job = find_job(options["job_id"])
    log = get_store().logs.open(job.id)
    if options["json"]:
        write_json(command, [entry.piece._asdict() for entry in log.read_all()])
        return
    is_coloured = False
    try:
        entries = log.follow(partial(_has_ended, job)) if options["follow"] else log.read_all()
        for text in output_lines(entries):
            is_coloured = leaves_colours(text, is_coloured)
            command.stdout.write(text, ending="")
            command.stdout.flush()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    finally:
        if is_coloured:
            command.stdout.write("\x1b[0m", ending="")


def _has_ended(job: Any) -> bool:
    """Tell whether a job has ended or is gone."""
    try:
        return job.refresh().finished
    except JobNotFound:
        return True


def _describe_cancel(parser: Any) -> None:
    """End a job as cancelled: it never starts, or is interrupted."""
    describe_job_id(parser)
    describe_json(parser)


def _cancel(command: BaseCommand, options: dict[str, Any]) -> None:
    from moi_django.jobs import actions

    done = actions.perform("cancel", find_job(options["job_id"]).info)
    if options["json"]:
        write_json(command, done.info.to_dict())
    elif done.affected:
        command.stdout.write(f"Cancelled job id: {done.info.id}")
    if not done.affected:
        command.stderr.write(f"The job has ended before, as {done.info.state}.")
        sys.exit(1)


def _describe_retry(parser: Any) -> None:
    """Run the function of a job that did not succeed again, as a new job."""
    describe_job_id(parser)
    describe_json(parser)


def _retry(command: BaseCommand, options: dict[str, Any]) -> None:
    from moi_django.jobs import actions

    done = actions.perform("retry", find_job(options["job_id"]).info)
    if options["json"]:
        write_json(command, done.info.to_dict())
    else:
        command.stdout.write(f"Submitted job id: {done.info.id}")


def _describe_userjobs(parser: Any) -> None:
    """Show the jobs of a user, the oldest first."""
    parser.add_argument("--key", required=True, help="a username, or the UUID of a user or group")
    parser.add_argument("--summary", action="store_true", help="one line a job")
    describe_json(parser)


def _userjobs(command: BaseCommand, options: dict[str, Any]) -> None:
    from moi_django.contrib.command_line import text_report
    from moi_django.contrib.monitoring import owner_names
    from moi_django.jobs.api import Group

    key = options["key"]
    unknown = GroupNotFound(f"Unknown key: {key}")
    group = owner_names.find_group_id(key)
    if group is None:
        raise unknown
    try:
        infos = [job.info for job in Group.get(group).jobs()]
    except GroupNotFound as error:
        raise unknown from error
    if options["json"]:
        write_json(
            command, [_summary_dict(i) if options["summary"] else i.to_dict() for i in infos]
        )
    elif options["summary"]:
        command.stdout.write("".join(map(text_report.summary_line, infos)), ending="")
    else:
        command.stdout.write(text_report.detail_blocks(infos), ending="")


def _summary_dict(info: Any) -> dict[str, Any]:
    return {"date_created": info.date_created, "id": info.id, "status": info.status}


def _describe_users(parser: Any) -> None:
    """Show who has jobs, and the UUIDs of their root groups."""
    describe_json(parser)


def _users(command: BaseCommand, options: dict[str, Any]) -> None:
    from moi_django.contrib.command_line import text_report
    from moi_django.contrib.monitoring import owner_names

    names = owner_names.group_ids_by_name()
    if options["json"]:
        write_json(command, names)
    elif not names:
        raise GroupNotFound("No user-id-map found")
    else:
        command.stdout.write(text_report.user_lines(names), ending="")


VERBS = {
    "submit": Verb(_describe_submit, _submit),
    "job": Verb(_describe_job, _job),
    "logs": Verb(_describe_logs, _logs),
    "cancel": Verb(_describe_cancel, _cancel),
    "retry": Verb(_describe_retry, _retry),
    "userjobs": Verb(_describe_userjobs, _userjobs),
    "users": Verb(_describe_users, _users),
}
