"""`manage.py demo_users`: make the two users who show that each sees only their own jobs."""

from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    """The command."""

    help = "Make the users alice and bob, whose passwords are their names."

    def handle(self, *args: Any, **options: Any) -> None:
        """Make them unless they are there."""
        if not settings.DEBUG:
            raise CommandError("Users with such passwords are for a demo only: DEBUG is off.")
        for name in ("alice", "bob"):
            if not User.objects.filter(username=name).exists():
                User.objects.create_user(name, password=name)
