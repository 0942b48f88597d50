"""`manage.py moi`: submit and look at jobs from a shell, and run the services they need.

What costs time to import is imported by the verb that needs it.
"""

import json
import os
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from moi_django.conf import DEFAULT_CONTEXT, NO_USER, conf
from moi_django.exceptions import GroupNotFound, InvalidJob, JobNotFound, MoiError

# Exit codes of what is ended by Ctrl-C, and of what writes where nobody reads.
INTERRUPTED, UNHEARD = 130, 141


class Command(BaseCommand):
    """The command and its verbs."""

    help = "Submit jobs to a cluster, look at them, and run the services they need."
    # A job is submitted in the time that checks alone would take.
    requires_system_checks: list[str] = []
    _called_from_command_line: bool

    def add_arguments(self, parser: CommandParser) -> None:
        """Describe the verbs."""
        self._parser = parser
        verbs = parser.add_subparsers(dest="verb", title="verbs", metavar="VERB")
        for name, describe in _DESCRIPTIONS.items():
            verb = verbs.add_parser(name, help=describe.__doc__, description=describe.__doc__)
            describe(verb)

    def execute(self, *args: Any, **options: Any) -> Any:
        """Run a verb; an error is one line on stderr and exit code 1."""
        try:
            ran = super().execute(*args, **options)
            self.stdout.flush()
            return ran
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
            sys.exit(1)

    def handle(self, *args: Any, verb: str | None, **options: Any) -> None:
        """Run the verb that was given."""
        if verb is None:
            self.stdout.write(self._parser.format_help(), ending="")
            return
        if verb != "up":  # which starts one
            _look_for_redis()
        getattr(self, f"_{verb}")(options)

    def _submit(self, options: dict[str, Any]) -> None:
        from moi_django.engine import calls
        from moi_django.jobs.api import submit
        from moi_django.options import Options

        call: Callable[..., Any] = calls.system_call
        if options["cmd_type"] == "python":
            call = calls.python_call
            try:
                calls.check_python(options["cmd"])
            except SyntaxError as error:
                raise InvalidJob(f"--cmd is no Python code: {error}") from error
        job = submit(
            options["context"],
            options["user"],
            options["name"],
            None,
            call,
            options["cmd"],
            options=Options(
                retries=options["retries"],
                backoff=options["backoff"],
                retry_on_lost=options["retry_on_lost"],
                timeout=options["timeout"],
            ),
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

    def _job(self, options: dict[str, Any]) -> None:
        info = _find_job(options["job_id"]).info
        if options["json"]:
            self._write_json(info.to_dict())
        else:
            self._write_details([info])

    def _logs(self, options: dict[str, Any]) -> None:
        from moi_django.site import store
        from moi_django.store.logs import Log
        from moi_django.terminal.transcript import output

        job = _find_job(options["job_id"])
        log = Log(store(), job.id)
        if options["json"]:
            self._write_json([entry.piece._asdict() for entry in log.whole()])
            return
        try:
            entries = log.follow(partial(_is_over, job)) if options["follow"] else log.whole()
            for text in output(entries):
                self.stdout.write(text, ending="")
                self.stdout.flush()
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)

    def _cancel(self, options: dict[str, Any]) -> None:
        job = _find_job(options["job_id"])
        done = job.cancel()
        if options["json"]:
            self._write_json(job.info.to_dict())
        elif done:
            self.stdout.write(f"Cancelled job id: {job.id}")
        if not done:
            self.stderr.write(f"The job has ended before, as {job.state}.")
            sys.exit(1)

    def _retry(self, options: dict[str, Any]) -> None:
        job = _find_job(options["job_id"]).retry()
        if options["json"]:
            self._write_json(job.info.to_dict())
        else:
            self.stdout.write(f"Submitted job id: {job.id}")

    def _reconcile(self, options: dict[str, Any]) -> None:
        import signal
        import threading

        from moi_django.cluster.reconciler import Reconciler

        reconciler = Reconciler(self._say)
        if options["once"]:
            reconciler.look()
            return
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        self._say("looking after jobs (Ctrl-C stops)")
        reconciler.run(stop)

    def _userjobs(self, options: dict[str, Any]) -> None:
        from moi_django import owners
        from moi_django.jobs.api import Group
        from moi_django.terminal import transcript

        key = options["key"]
        unknown = GroupNotFound(f"Unknown key: {key}")
        group = owners.find(key)
        if group is None:
            raise unknown
        try:
            infos = [job.info for job in Group.get(group).jobs()]
        except GroupNotFound as error:
            raise unknown from error
        if options["json"]:
            self._write_json([_brief(i) if options["summary"] else i.to_dict() for i in infos])
        elif options["summary"]:
            self.stdout.write("".join(map(transcript.summary, infos)), ending="")
        else:
            self._write_details(infos)

    def _users(self, options: dict[str, Any]) -> None:
        from moi_django import owners
        from moi_django.terminal import transcript

        names = owners.names()
        if options["json"]:
            self._write_json(names)
        elif not names:
            raise GroupNotFound("No user-id-map found")
        else:
            self.stdout.write(transcript.users(names), ending="")

    def _top(self, options: dict[str, Any]) -> None:
        from moi_django.terminal.overview import overview

        self._show(options, overview)

    def _watch(self, options: dict[str, Any]) -> None:
        from moi_django.terminal.overview import branch

        self._show(options, partial(branch, options["user"]))

    def _show(self, options: dict[str, Any], look: Callable[[], Any]) -> None:
        """Show what there is, in a terminal until Ctrl-C, else once."""
        if options["json"]:
            self._write_json(look().to_dict())
            return
        try:
            from moi_django.terminal import draw
        except ModuleNotFoundError as error:
            raise _not_installed(error, "terminal") from error
        if options["once"] or not self.stdout.isatty():
            self.stdout.write(draw.text(look()), ending="")
        else:
            draw.follow(look, self.stdout)

    def _up(self, options: dict[str, Any]) -> None:
        try:
            from moi_django.services.up import up
        except ModuleNotFoundError as error:
            raise _not_installed(error, "embedded") from error

        code = up(options["bind"], options["engines"], options["server"], self._say)
        if code:
            sys.exit(code)

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()

    def _write_details(self, infos: list[Any]) -> None:
        from moi_django.terminal import transcript

        self.stdout.write(transcript.details(infos), ending="")

    def _write_json(self, value: Any) -> None:
        self.stdout.write(json.dumps(value, indent=2))


def _look_for_redis() -> None:
    """Raise NotRunning or StoreUnavailable at once rather than let people wait for an answer."""
    from moi_django.store.pool import look

    look(conf.redis_url)


def _find_job(id: str) -> Any:
    """Return a job, or raise JobNotFound in the words of moi 0.2."""
    from moi_django.jobs.api import Job
    from moi_django.owners import is_uuid

    if not is_uuid(id):
        raise JobNotFound("Does not look like a job id")
    try:
        return Job.get(id)
    except JobNotFound as error:
        raise JobNotFound("Job ID not found") from error


def _is_over(job: Any) -> bool:
    """Tell whether a job has ended or is gone."""
    try:
        return job.refresh().finished
    except JobNotFound:
        return True


def _brief(info: Any) -> dict[str, Any]:
    return {"date_created": info.date_created, "id": info.id, "status": info.status}


def _not_installed(error: ModuleNotFoundError, extra: str) -> MoiError:
    return MoiError(f"{error.name} is missing: `pip install 'moi_django[{extra}]'`.")


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
    parser.add_argument("--block", action="store_true", help="wait for the end and show the job")
    parser.add_argument("--no-block", action="store_false", dest="block", help="do not (default)")
    _describe_json(parser)


def _describe_job(parser: Any) -> None:
    """Show a job."""
    parser.add_argument("--job-id", required=True, help="the id that submit printed")
    _describe_json(parser)


def _describe_logs(parser: Any) -> None:
    """Show what a job has printed and logged."""
    parser.add_argument("--job-id", required=True, help="the id that submit printed")
    parser.add_argument("--follow", action="store_true", help="go on until the job has ended")
    _describe_json(parser)


def _describe_cancel(parser: Any) -> None:
    """End a job as cancelled: it never starts, or is interrupted."""
    parser.add_argument("--job-id", required=True, help="the id that submit printed")
    _describe_json(parser)


def _describe_retry(parser: Any) -> None:
    """Run the function of a job that did not succeed again, as a new job."""
    parser.add_argument("--job-id", required=True, help="the id that submit printed")
    _describe_json(parser)


def _describe_reconcile(parser: Any) -> None:
    """Look after jobs whose engine, controller or submitter died, until Ctrl-C."""
    parser.add_argument("--once", action="store_true", help="look once and end, as for cron")


def _describe_userjobs(parser: Any) -> None:
    """Show the jobs of a user, the oldest first."""
    parser.add_argument("--key", required=True, help="a username, or the UUID of a user or group")
    parser.add_argument("--summary", action="store_true", help="one line a job")
    _describe_json(parser)


def _describe_users(parser: Any) -> None:
    """Show who has jobs, and the UUIDs of their root groups."""
    _describe_json(parser)


def _describe_top(parser: Any) -> None:
    """Show contexts, engines and the jobs of all users, until Ctrl-C."""
    _describe_look(parser)


def _describe_watch(parser: Any) -> None:
    """Show the jobs of a user as a tree, until Ctrl-C."""
    parser.add_argument("--user", required=True, help="a username, or the UUID of a user or group")
    _describe_look(parser)


def _describe_look(parser: Any) -> None:
    parser.add_argument("--once", action="store_true", help="show it once, as where no terminal is")
    _describe_json(parser)


def _describe_up(parser: Any) -> None:
    """Run what is missing of Redis, a cluster and the web server, until Ctrl-C."""
    parser.add_argument("--bind", default="127.0.0.1:8000", metavar="HOST:PORT")
    parser.add_argument("--engines", type=_count, metavar="N", help="default: the number of CPUs")
    parser.add_argument(
        "--no-server", action="store_false", dest="server", help="without the web server"
    )


def _describe_json(parser: Any) -> None:
    parser.add_argument("--json", action="store_true", help="write JSON")


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


_DESCRIPTIONS = {
    "submit": _describe_submit,
    "job": _describe_job,
    "logs": _describe_logs,
    "cancel": _describe_cancel,
    "retry": _describe_retry,
    "userjobs": _describe_userjobs,
    "users": _describe_users,
    "top": _describe_top,
    "watch": _describe_watch,
    "reconcile": _describe_reconcile,
    "up": _describe_up,
}
