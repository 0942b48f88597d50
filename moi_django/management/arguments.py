"""What each verb of `manage.py moi` takes, and what it says of itself."""

from collections.abc import Callable
from typing import Any

from moi_django.conf import DEFAULT_CONTEXT, NO_USER
from moi_django.contrib.schedules.verbs import describe_schedule


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
    _describe_job_id(parser)
    _describe_json(parser)


def _describe_logs(parser: Any) -> None:
    """Show what a job has printed and logged."""
    _describe_job_id(parser)
    parser.add_argument("--follow", action="store_true", help="go on until the job has ended")
    _describe_json(parser)


def _describe_cancel(parser: Any) -> None:
    """End a job as cancelled: it never starts, or is interrupted."""
    _describe_job_id(parser)
    _describe_json(parser)


def _describe_retry(parser: Any) -> None:
    """Run the function of a job that did not succeed again, as a new job."""
    _describe_job_id(parser)
    _describe_json(parser)


def _describe_run(parser: Any) -> None:
    """Run the function of a job here, with breakpoints; nothing is written."""
    _describe_job_id(parser)


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


def _describe_job_id(parser: Any) -> None:
    parser.add_argument("--job-id", required=True, help="the id that submit printed")


def _describe_json(parser: Any) -> None:
    parser.add_argument("--json", action="store_true", help="write JSON")


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


DESCRIPTIONS: dict[str, Callable[[Any], None]] = {
    "submit": _describe_submit,
    "job": _describe_job,
    "logs": _describe_logs,
    "cancel": _describe_cancel,
    "retry": _describe_retry,
    "run": _describe_run,
    "userjobs": _describe_userjobs,
    "users": _describe_users,
    "top": _describe_top,
    "watch": _describe_watch,
    "schedule": describe_schedule,
    "reconcile": _describe_reconcile,
    "up": _describe_up,
}
