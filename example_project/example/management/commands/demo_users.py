"""`manage.py demo_users`: make two users who see only their own jobs, and one who sees all."""

from typing import Any

from django.conf import settings
from django.contrib.auth.models import Permission, User
from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    """The command."""

    help = "Make the users alice and bob, and the operator olga; their passwords are their names."

    def handle(self, *args: Any, **options: Any) -> None:
        """Make them unless they are there."""
        if not settings.DEBUG:
            raise CommandError("Users with such passwords are for a demo only: DEBUG is off.")
        for name in ("alice", "bob", "olga"):
            if not User.objects.filter(username=name).exists():
                User.objects.create_user(name, password=name, is_staff=name == "olga")
        allowed = Permission.objects.filter(content_type__app_label="moi_django")
        User.objects.get(username="olga").user_permissions.set(allowed)
