"""`manage.py moi`, as Django finds it; the command line itself is in `contrib/command_line`."""

from moi_django.contrib.command_line.command import Command

__all__ = ["Command"]
