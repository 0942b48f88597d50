"""Two permissions for the admin to give: to see and to change the jobs of everybody.

The model has no table: it exists because Django ties permissions to one.
"""

from django.db import models


class AllJobs(models.Model):
    """The jobs of everybody."""

    class Meta:
        app_label = "moi_django"
        managed = False
        default_permissions = ()
        permissions = [
            ("view_jobs", "Can view the jobs of all users"),
            ("change_jobs", "Can change and remove the jobs of all users"),
        ]
