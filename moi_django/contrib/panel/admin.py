"""Put the operator's panel into the Django admin, in the place of a list of rows.

The admin loads this with every command of the site: what costs time is imported by its methods.
"""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path

from moi_django.contrib.panel.permissions import AllJobs


@admin.register(AllJobs)
class AllJobsAdmin(admin.ModelAdmin):
    """The panel. There is no table behind it, and no other page."""

    def get_urls(self) -> list[URLPattern]:
        """Return the page there is, and that of clusters which the settings describe."""
        view = self.admin_site.admin_view(self.changelist_view)
        clusters = self.admin_site.admin_view(self.clusters_view)
        return [
            path("", view, name="moi_django_alljobs_changelist"),
            path("clusters/", clusters, name="moi_django_clusters"),
        ]

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Show the app in the index to who may see the panel."""
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Tell who may see the panel."""
        from moi_django import authorization

        return authorization.sees_all(request.user)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Tell who may act on jobs."""
        from moi_django import authorization

        return authorization.changes_all(request.user)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Let nobody: jobs come from code."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Let nobody: there is no row."""
        return False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the panel."""
        from moi_django.contrib.panel import views

        return views.show_panel(request, self.admin_site)

    def clusters_view(self, request: HttpRequest) -> HttpResponse:
        """Show clusters that the settings describe."""
        from moi_django.contrib.clusters.panel import show_clusters

        return show_clusters(request, self.admin_site)
