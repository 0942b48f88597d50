"""Try whether the code of a site can be loaded, in a process of its own, which fails if not.

`moi up` runs it before it starts anything anew. Its arguments are APPLICATION [--skip-checks].
"""

import sys
from typing import Any

import django
from django.core.management.base import BaseCommand
from django.db import DatabaseError

from moi_django.contrib.services.web_server import load_code


class _Command(BaseCommand):
    """Load what the web server, a reconciler and engines load, and say what `runserver` says."""

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("application")

    def handle(self, *args: Any, application: str, **options: Any) -> None:
        load_code(application)
        try:
            self.check_migrations()
        except DatabaseError as error:
            self.stderr.write(f"Whether all migrations are applied is not known: {error}")


if __name__ == "__main__":
    django.setup()
    _Command().run_from_argv(["moi", "up", *sys.argv[1:]])
