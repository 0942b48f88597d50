"""The history in the Django admin: to be looked at, searched and filtered, and never changed."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from moi_django.contrib.history.models import PastAttempt, PastJob
from moi_django.pages.page_urls import page_url
from moi_django.presentation.formatting import format_duration, format_localized, format_size


class _ReadOnly:
    """What nobody adds to or changes by hand."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Let nobody: rows come from jobs."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Let nobody: what has happened stays as it was."""
        return False


class AttemptInline(_ReadOnly, admin.TabularInline):
    """The attempts at a job."""

    model = PastAttempt
    extra = 0


@admin.register(PastJob)
class PastJobAdmin(_ReadOnly, admin.ModelAdmin):
    """Jobs that have ended."""

    list_display = [
        *("name", "owner", "context", "state", "ended"),
        *("waited_for", "ran_for", "cpu_time", "memory", "error"),
    ]
    list_filter = ["state", "context", "ended", ("user", admin.RelatedOnlyFieldListFilter)]
    search_fields = ["=id", "name", "owner", "group", "error"]
    date_hierarchy = "ended"
    # Counting all rows of a large table for every page takes longer than showing one.
    show_full_result_count = False
    inlines = [AttemptInline]
    exclude = ["waited", "ran", "cpu_seconds", "peak_memory"]
    readonly_fields = ["page", "waited_for", "ran_for", "cpu_time", "memory"]

    @admin.display(description=_("Page"))
    def page(self, job: PastJob) -> SafeString | str:
        """Return a link to the page of the job, where the site has these."""
        url = page_url(job.info)
        return format_html('<a href="{}">{}</a>', url, job.id) if url else "—"

    @admin.display(description=pgettext_lazy("moi", "Waited"), ordering="waited")
    def waited_for(self, job: PastJob) -> str:
        """Return how long it waited."""
        return format_duration(job.waited, format_localized)

    @admin.display(description=pgettext_lazy("moi", "Ran"), ordering="ran")
    def ran_for(self, job: PastJob) -> str:
        """Return how long it ran."""
        return format_duration(job.ran, format_localized)

    @admin.display(description=_("CPU time"), ordering="cpu_seconds")
    def cpu_time(self, job: PastJob) -> str:
        """Return how much CPU time its last attempt took."""
        return format_duration(job.cpu_seconds, format_localized)

    @admin.display(description=_("Peak memory"), ordering="peak_memory")
    def memory(self, job: PastJob) -> str:
        """Return how much memory its last attempt took at most."""
        return format_size(job.peak_memory, format_localized)
