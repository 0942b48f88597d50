"""Jobs by the clock: what runs when, for whom, and the part of the reconciler that starts it."""

from moi_django.contrib.schedules.registry import scheduled

__all__ = ["scheduled"]
