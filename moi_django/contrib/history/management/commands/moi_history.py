"""`manage.py moi_history`: drop what is old, and take in what Redis still has."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from moi_django.exceptions import MoiError


class Command(BaseCommand):
    """Look after the history of jobs."""

    help = "Drop old jobs from the history, or take in those that have ended and are in Redis."

    def add_arguments(self, parser: CommandParser) -> None:
        """Describe the verbs."""
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        text = "Drop the jobs that ended more than so many days ago."
        prune = verbs.add_parser("prune", help=text, description=text)
        prune.add_argument("--days", type=float, required=True, help="for how long jobs are kept")
        text = "Take in the jobs that have ended and are still in Redis."
        verbs.add_parser("import", help=text, description=text)

    def handle(self, *args: Any, verb: str, **options: Any) -> None:
        """Run a verb; what cannot be done is one line."""
        try:
            self._prune(options["days"]) if verb == "prune" else self._import()
        except (MoiError, ValueError, OverflowError) as error:
            raise CommandError(str(error)) from error

    def _prune(self, days: float) -> None:
        from moi_django.contrib.history.retention import prune

        self.stdout.write(f"{prune(days)} jobs were dropped.")

    def _import(self) -> None:
        from moi_django.contrib.history.recorder import record_jobs
        from moi_django.contrib.monitoring.job_index import JobIndex
        from moi_django.site_store import get_store

        index, place, count = JobIndex(get_store().connection, get_store().jobs), None, 0
        while True:
            infos, place = index.newest(get_store().keys.jobs, place)
            count += record_jobs(infos)
            if place is None:
                break
        self.stdout.write(f"{count} jobs were taken in.")
