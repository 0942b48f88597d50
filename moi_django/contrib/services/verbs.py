"""The verbs that run what a site needs on one machine, all of it or the reconciler alone."""

import sys
from errno import EACCES, EDQUOT, ENOSPC, EPERM, EROFS
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand

from moi_django.contrib.command_line.verb_base import Verb, not_installed, write_line
from moi_django.contrib.services.service_state import RECONCILING
from moi_django.exceptions import ServiceError

# What is raised where a disk is full, or not ours to write to.
CANNOT_WRITE = {EACCES, EDQUOT, ENOSPC, EPERM, EROFS}


def _describe_up(parser: Any) -> None:
    """Run what is missing of Redis, a cluster and the web server, until Ctrl-C."""
    parser.add_argument(
        "--bind", metavar="HOST:PORT", help="default: 127.0.0.1:8000, or the next port that is free"
    )
    parser.add_argument("--engines", type=_count, metavar="N", help="default: the number of CPUs")
    parser.add_argument(
        "--no-server", action="store_false", dest="server", help="without the web server"
    )
    parser.add_argument(
        "--no-reload",
        action="store_false",
        dest="reload",
        help="do not load code anew when it changes",
    )
    parser.add_argument(
        "--fresh", action="store_true", help="forget the jobs of last time: empty its own Redis"
    )
    parser.add_argument("--skip-checks", action="store_true", help="without the system checks")


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def _up(command: BaseCommand, options: dict[str, Any]) -> None:
    try:
        from moi_django.contrib.services.up import run_services
    except ModuleNotFoundError as error:
        raise not_installed(error, "embedded") from error
    from moi_django.contrib.services.listening import parse_address
    from moi_django.contrib.services.web_server import require_uvicorn

    if options["server"]:
        require_uvicorn()
        # Before the checks: what makes no sense is said at once.
        parse_address(options["bind"] or ":0")
    _check_site(command, options["skip_checks"])
    say = partial(write_line, command)
    try:
        code = run_services(
            options["bind"],
            options["engines"],
            options["server"],
            say,
            reload=options["reload"],
            fresh=options["fresh"],
            checks=not options["skip_checks"],
        )
    except OSError as error:
        if error.errno not in CANNOT_WRITE:
            raise
        raise ServiceError(f"What is kept cannot be written: {error}") from error
    if code:
        sys.exit(code)


def _check_site(command: BaseCommand, is_skipped: bool) -> None:
    """Say what `runserver` says before it serves; raise SystemCheckError for what is no site."""
    from django.db import connections

    if not is_skipped:
        command.stdout.write("Performing system checks...\n\n")
        command.check(display_num_errors=True)
    command.check_migrations()
    for connection in connections.all(initialized_only=True):
        connection.close()
    command.stdout.flush()


def _describe_reconcile(parser: Any) -> None:
    """Look after jobs whose engine, controller or submitter died, until Ctrl-C."""
    parser.add_argument("--once", action="store_true", help="look once and end, as for cron")


def _reconcile(command: BaseCommand, options: dict[str, Any]) -> None:
    import signal
    import threading

    from moi_django.cluster.reconciler import Reconciler
    from moi_django.contrib.attachments.receiver import FileReceiver
    from moi_django.contrib.attachments.site_storage import FileDeletion
    from moi_django.contrib.clusters.keeper import ClusterKeeper
    from moi_django.contrib.events.reader import deliver_all, running_readers
    from moi_django.contrib.health.heartbeat import ReconcilerHeartbeat
    from moi_django.contrib.reloading.restarts import RestartCaller
    from moi_django.contrib.schedules.runner import ScheduleRunner
    from moi_django.contrib.services.single_look import reconcile_once

    say = partial(write_line, command)
    tasks = [ScheduleRunner(say).run_due, ReconcilerHeartbeat().beat, RestartCaller().call_asked]
    clusters = ClusterKeeper(say)
    tasks += [FileDeletion(say).delete_due, clusters.look]
    reconciler = Reconciler(say, tasks)
    if options["once"]:
        reconcile_once(reconciler)
        deliver_all()
        clusters.wait()
        return
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    say(RECONCILING)
    receiver = FileReceiver()
    receiver.start()
    with running_readers():
        reconciler.run_until(stop)
    receiver.stop()


VERBS = {
    "reconcile": Verb(_describe_reconcile, _reconcile),
    "up": Verb(_describe_up, _up, needs_redis=False),
}
