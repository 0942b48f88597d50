"""Where the Django admin looks for what the app adds to it: the operator's panel."""

from moi_django.contrib.panel import admin  # noqa: F401
