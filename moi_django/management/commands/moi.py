"""`manage.py moi`: submit and look at jobs from a shell, and run the services they need.

What costs time to import is imported by the verb that needs it.
"""

import json
import os
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from django.core.management.base import (
    BaseCommand,
    CommandError,
    CommandParser,
    no_translations,
)

from moi_django.conf import conf
from moi_django.exceptions import (
    GroupNotFound,
    InvalidJob,
    JobNotFound,
    MoiError,
    UnknownContext,
    UsageError,
)
from moi_django.management.arguments import DESCRIPTIONS
from moi_django.models import State

# Exit codes of what makes no sense, what is ended by Ctrl-C, and what writes where nobody reads.
WRONG_USAGE, INTERRUPTED, UNHEARD = 2, 130, 141


class Command(BaseCommand):
    """The command and its verbs."""

    help = "Submit jobs to a cluster, look at them, and run the services they need."
    # A job is submitted in the time that checks alone would take.
    requires_system_checks: list[str] = []
    _called_from_command_line: bool

    def add_arguments(self, parser: CommandParser) -> None:
        """Describe the verbs."""
        self._parser = parser
        parser.prog = parser.prog.replace("moi moi", "moi")  # by its own script
        verbs = parser.add_subparsers(dest="verb", title="verbs", metavar="VERB")
        for name, describe in DESCRIPTIONS.items():
            verb = verbs.add_parser(name, help=describe.__doc__, description=describe.__doc__)
            describe(verb)

    def execute(self, *args: Any, **options: Any) -> Any:
        """Run a verb; an error is one line on stderr and exit code 1, or 2 for wrong usage.

        An early `head` is 141.
        """
        try:
            return self._execute(*args, **options)
        except BrokenPipeError:
            # Who reads has seen enough, as `head` has: say no more, also not when Python ends.
            if not self._called_from_command_line:
                raise
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(UNHEARD)
        except MoiError as error:
            if not self._called_from_command_line:
                raise CommandError(str(error)) from error
            self.stderr.write(str(error))
            sys.exit(WRONG_USAGE if isinstance(error, UsageError) else 1)

    def _execute(self, *args: Any, **options: Any) -> Any:
        try:
            return super().execute(*args, **options)
        finally:
            self.stdout.flush()

    @no_translations
    def handle(self, *args: Any, verb: str | None, **options: Any) -> None:
        """Run the verb that was given."""
        if verb is None:
            self.stdout.write(self._parser.format_help(), ending="")
            return
        if verb != "up":  # which starts one
            _check_redis()
        getattr(self, f"_run_{verb}")(options)

    def _run_submit(self, options: dict[str, Any]) -> None:
        from moi_django.jobs.api import submit

        call, how = _checked_call(options)
        job = submit(
            options["context"],
            options["user"],
            options["name"],
            None,
            call,
            options["cmd"],
            options=how,
        )
        if not options["json"]:
            self.stdout.write(f"Submitted job id: {job.id}")
            self.stdout.flush()
        if options["block"]:
            try:
                job.wait()
            except KeyboardInterrupt:
                self.stderr.write(f"The job goes on: manage.py moi job --job-id={job.id}")
                sys.exit(INTERRUPTED)
        if options["json"]:
            self._write_json(job.info.to_dict())
        elif options["block"]:
            self._write_details([job.info])
        if options["block"] and job.state is not State.SUCCESS:
            sys.exit(1)

    def _run_job(self, options: dict[str, Any]) -> None:
        info = _find_job(options["job_id"]).info
        if options["json"]:
            self._write_json(info.to_dict())
        else:
            self._write_details([info])

    def _run_logs(self, options: dict[str, Any]) -> None:
        from moi_django.presentation.ansi import leaves_colours
        from moi_django.presentation.text_report import output_lines
        from moi_django.site_store import get_store

        job = _find_job(options["job_id"])
        log = get_store().logs.open(job.id)
        if options["json"]:
            self._write_json([entry.piece._asdict() for entry in log.read_all()])
            return
        is_coloured = False
        try:
            entries = log.follow(partial(_has_ended, job)) if options["follow"] else log.read_all()
            for text in output_lines(entries):
                is_coloured = leaves_colours(text, is_coloured)
                self.stdout.write(text, ending="")
                self.stdout.flush()
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
        finally:
            if is_coloured:
                self.stdout.write("\x1b[0m", ending="")

    def _run_cancel(self, options: dict[str, Any]) -> None:
        from moi_django.jobs import actions

        done = actions.perform("cancel", _find_job(options["job_id"]).info)
        if options["json"]:
            self._write_json(done.info.to_dict())
        elif done.affected:
            self.stdout.write(f"Cancelled job id: {done.info.id}")
        if not done.affected:
            self.stderr.write(f"The job has ended before, as {done.info.state}.")
            sys.exit(1)

    def _run_retry(self, options: dict[str, Any]) -> None:
        from moi_django.jobs import actions

        done = actions.perform("retry", _find_job(options["job_id"]).info)
        if options["json"]:
            self._write_json(done.info.to_dict())
        else:
            self.stdout.write(f"Submitted job id: {done.info.id}")

    def _run_run(self, options: dict[str, Any]) -> None:
        from bdb import BdbQuit

        from moi_django.engine.invocation import format_error
        from moi_django.jobs.foreground import run_in_foreground

        info = _find_job(options["job_id"]).info
        try:
            value = run_in_foreground(info, self.stderr.write)
        except MoiError:
            raise
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
        except Exception as error:
            if not isinstance(error, BdbQuit):  # who leaves the debugger knows where it was
                self.stderr.write(format_error(error))
            sys.exit(1)
        self.stdout.write(repr(value))

    def _run_reconcile(self, options: dict[str, Any]) -> None:
        import signal
        import threading

        from moi_django.cluster.reconciler import Reconciler
        from moi_django.contrib.schedules.runner import ScheduleRunner

        reconciler = Reconciler(self._write_line, [ScheduleRunner(self._write_line).run_due])
        if options["once"]:
            reconciler.reconcile_once()
            return
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        self._write_line("looking after jobs (Ctrl-C stops)")
        reconciler.run_until(stop)

    def _run_schedule(self, options: dict[str, Any]) -> None:
        from moi_django.contrib.schedules.verbs import run_schedule

        run_schedule(self, options)

    def _run_userjobs(self, options: dict[str, Any]) -> None:
        from moi_django import owners
        from moi_django.jobs.api import Group
        from moi_django.presentation import text_report

        key = options["key"]
        unknown = GroupNotFound(f"Unknown key: {key}")
        group = owners.find_group_id(key)
        if group is None:
            raise unknown
        try:
            infos = [job.info for job in Group.get(group).jobs()]
        except GroupNotFound as error:
            raise unknown from error
        if options["json"]:
            self._write_json(
                [_summary_dict(i) if options["summary"] else i.to_dict() for i in infos]
            )
        elif options["summary"]:
            self.stdout.write("".join(map(text_report.summary_line, infos)), ending="")
        else:
            self._write_details(infos)

    def _run_users(self, options: dict[str, Any]) -> None:
        from moi_django import owners
        from moi_django.presentation import text_report

        names = owners.group_ids_by_name()
        if options["json"]:
            self._write_json(names)
        elif not names:
            raise GroupNotFound("No user-id-map found")
        else:
            self.stdout.write(text_report.user_lines(names), ending="")

    def _run_top(self, options: dict[str, Any]) -> None:
        from moi_django.contrib.live_terminal.overview import get_overview

        self._show(options, get_overview)

    def _run_watch(self, options: dict[str, Any]) -> None:
        from moi_django.contrib.live_terminal.overview import get_user_tree

        self._show(options, partial(get_user_tree, options["user"]))

    def _show(self, options: dict[str, Any], look: Callable[[], Any]) -> None:
        """Show what there is, in a terminal until Ctrl-C, else once."""
        if options["json"]:
            self._write_json(look().to_dict())
            return
        try:
            from moi_django.contrib.live_terminal import rich_view
        except ModuleNotFoundError as error:
            raise _not_installed(error, "terminal") from error
        if options["once"] or not self.stdout.isatty():
            self.stdout.write(rich_view.render_text(look()), ending="")
        else:
            rich_view.render_live(look, self.stdout)

    def _run_up(self, options: dict[str, Any]) -> None:
        try:
            from moi_django.contrib.services.up import run_services
        except ModuleNotFoundError as error:
            raise _not_installed(error, "embedded") from error

        code = run_services(
            options["bind"], options["engines"], options["server"], self._write_line
        )
        if code:
            sys.exit(code)

    def _write_line(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()

    def _write_details(self, infos: list[Any]) -> None:
        from moi_django.presentation import text_report

        self.stdout.write(text_report.detail_blocks(infos), ending="")

    def _write_json(self, value: Any) -> None:
        self.stdout.write(json.dumps(value, indent=2))


def _checked_call(options: dict[str, Any]) -> tuple[Callable[..., Any], Any]:
    """Return what is to run and how; raise UsageError when that makes no sense."""
    from moi_django.engine import calls
    from moi_django.options import Options

    names = ("retries", "backoff", "retry_on_lost", "timeout")
    try:
        conf.context(options["context"])
        how = Options(**{name: options[name] for name in names})
        if options["cmd_type"] == "system":
            return calls.system_call, how
        calls.check_python(options["cmd"])
        return calls.python_call, how
    except SyntaxError as error:
        raise UsageError(f"--cmd is no Python code: {error}") from error
    except (InvalidJob, UnknownContext) as error:
        raise UsageError(str(error)) from error


def _check_redis() -> None:
    """Raise NotRunning or StoreUnavailable at once rather than let people wait for an answer."""
    from moi_django.store.connection import require_redis

    require_redis(conf.redis_url)


def _find_job(id: str) -> Any:
    """Return a job, or raise JobNotFound in the words of moi 0.2."""
    from moi_django.jobs.api import Job
    from moi_django.validation import is_uuid

    if not is_uuid(id):
        raise JobNotFound("Does not look like a job id")
    try:
        return Job.get(id)
    except JobNotFound as error:
        raise JobNotFound("Job ID not found") from error


def _has_ended(job: Any) -> bool:
    """Tell whether a job has ended or is gone."""
    try:
        return job.refresh().finished
    except JobNotFound:
        return True


def _summary_dict(info: Any) -> dict[str, Any]:
    return {"date_created": info.date_created, "id": info.id, "status": info.status}


def _not_installed(error: ModuleNotFoundError, extra: str) -> MoiError:
    return MoiError(f"{error.name} is missing: `pip install 'moi_django[{extra}]'`.")
