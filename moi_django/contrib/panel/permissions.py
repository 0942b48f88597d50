"""Two permissions for the admin to give: to see and to change the jobs of everybody.

The model has no table: it exists because Django ties permissions to one.
"""

from django.db import models
from django.utils.translation import gettext_lazy as _


class AllJobs(models.Model):
    """The jobs of everybody."""

    class Meta:
        app_label = "moi_django"
        managed = False
        default_permissions = ()
        verbose_name = verbose_name_plural = _("jobs of all users")
        permissions = [
            ("view_jobs", "Can view the jobs of all users"),
            ("change_jobs", "Can change and remove the jobs of all users"),
        ]
