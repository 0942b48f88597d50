"""`manage.py moi`: submit and look at jobs from a shell, and run the services they need.

What costs time to import is imported by the verb that needs it.
"""

import os
import sys
from argparse import SUPPRESS
from copy import copy
from importlib import import_module
from typing import Any

from django.core.management.base import (
    BaseCommand,
    CommandError,
    CommandParser,
    no_translations,
)

from moi_django.conf import conf
from moi_django.contrib.command_line.verb_base import Verb
from moi_django.exceptions import MoiError, UsageError

# Exit codes of what makes no sense, and of what writes where nobody reads.
WRONG_USAGE, UNHEARD = 2, 141

# Options of Django's that people write behind the verb as well.
SHARED = {"verbosity", "settings", "pythonpath", "traceback", "no_color", "force_color"}

# Each verb in the order of the help, with the module that has it in its VERBS.
MODULES = {
    "submit": "contrib.command_line.verbs",
    "job": "contrib.command_line.verbs",
    "logs": "contrib.command_line.verbs",
    "cancel": "contrib.command_line.verbs",
    "retry": "contrib.command_line.verbs",
    "prefer": "contrib.operation.verbs",
    "run": "contrib.debugging.verbs",
    "userjobs": "contrib.command_line.verbs",
    "users": "contrib.command_line.verbs",
    "top": "contrib.live_terminal.verbs",
    "watch": "contrib.live_terminal.verbs",
    "health": "contrib.health.verbs",
    "doctor": "contrib.doctor.verbs",
    "pause": "contrib.operation.verbs",
    "resume": "contrib.operation.verbs",
    "drain": "contrib.operation.verbs",
    "engines": "contrib.reloading.verbs",
    "cluster": "contrib.clusters.verbs",
    "schedule": "contrib.schedules.verbs",
    "reconcile": "contrib.services.verbs",
    "up": "contrib.services.verbs",
}


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
        shared = _shared_options(parser)
        for name in MODULES:
            describe = _find_verb(name).describe
            verb = verbs.add_parser(
                name, help=describe.__doc__, description=describe.__doc__, parents=[shared]
            )
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
        found = _find_verb(verb)
        if found.needs_redis:
            _check_redis()
        found.run(self, options)


def _shared_options(parser: CommandParser) -> CommandParser:
    """Return Django's options of every command, to be understood behind a verb, too."""
    shared = CommandParser(add_help=False)
    for action in parser._actions:
        if action.dest in SHARED:
            again = copy(action)
            # What stands before the verb counts unless it is said again.
            again.default = SUPPRESS
            again.help = SUPPRESS
            shared._add_action(again)
    return shared


def _find_verb(name: str) -> Verb:
    verbs: dict[str, Verb] = import_module(f"moi_django.{MODULES[name]}").VERBS
    return verbs[name]


def _check_redis() -> None:
    """Raise NotRunning or StoreUnavailable at once rather than let people wait for an answer."""
    from moi_django.store.connection import require_redis

    require_redis(conf.redis_url)
