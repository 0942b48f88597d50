"""The rows that are kept of jobs that have ended, and of the attempts at them."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from moi_django.info_json import info_from_json
from moi_django.models import Info, State

ENDS = [
    (State.SUCCESS.value, pgettext_lazy("job", "Success")),
    (State.FAILED.value, pgettext_lazy("job", "Failed")),
    (State.CANCELLED.value, pgettext_lazy("job", "Cancelled")),
    (State.LOST.value, pgettext_lazy("job", "Lost")),
]
MAX_NAME, MAX_TEXT = 250, 500


class PastJob(models.Model):
    """A job that has ended."""

    id = models.CharField(_("Id"), primary_key=True, max_length=36)
    name = models.CharField(pgettext_lazy("moi", "Name"), max_length=MAX_NAME)
    context = models.CharField(
        pgettext_lazy("moi", "Context"), max_length=MAX_NAME, blank=True, db_index=True
    )
    state = models.CharField(_("State"), max_length=20, choices=ENDS)
    # The user whose it is, as long as there is that user; else only what the owner was called.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("User"),
    )
    owner = models.CharField(pgettext_lazy("moi", "Owner"), max_length=MAX_NAME)
    # Names of the groups that it was in, from the root group down.
    group = models.CharField(_("Group"), max_length=MAX_TEXT, blank=True)
    created = models.DateTimeField(pgettext_lazy("job", "Submitted"), null=True)
    started = models.DateTimeField(_("Started"), null=True)
    ended = models.DateTimeField(_("Ended"), db_index=True)
    # Seconds.
    waited = models.FloatField(pgettext_lazy("moi", "Waited"))
    ran = models.FloatField(pgettext_lazy("moi", "Ran"), null=True)
    cpu_seconds = models.FloatField(_("CPU seconds"), null=True)
    # Bytes.
    peak_memory = models.BigIntegerField(_("Peak memory"), null=True)
    # What its traceback says last, and the dotted path of the class of what it raised.
    error = models.CharField(_("Error"), max_length=MAX_TEXT, blank=True)
    exception = models.CharField(_("Exception"), max_length=MAX_NAME, blank=True)
    # The beginning of its result as JSON; of its traceback, if it has not succeeded.
    result_preview = models.TextField(_("Result"), blank=True)
    version = models.PositiveBigIntegerField(_("Version"))
    # The info object as JSON, without a long result.
    record = models.TextField(editable=False)

    class Meta:
        verbose_name = _("past job")
        verbose_name_plural = _("past jobs")
        ordering = ["-ended", "-id"]
        indexes = [models.Index(fields=["user", "-ended"], name="moi_history_user")]
        default_permissions = ("view", "delete")

    def __str__(self) -> str:
        return self.name

    @property
    def info(self) -> Info:
        """The info object as it was at the end."""
        return info_from_json(self.record)


class PastAttempt(models.Model):
    """One run of a job that has ended."""

    job = models.ForeignKey(
        PastJob, on_delete=models.CASCADE, related_name="attempts", verbose_name=_("past job")
    )
    number = models.PositiveIntegerField(_("Attempt"))
    state = models.CharField(_("State"), max_length=20, choices=ENDS)
    started = models.DateTimeField(_("Started"), null=True)
    ended = models.DateTimeField(_("Ended"), null=True)
    # Id of the engine.
    engine = models.CharField(_("Engine"), max_length=MAX_NAME, blank=True)
    cpu_seconds = models.FloatField(_("CPU seconds"), null=True)
    peak_memory = models.BigIntegerField(_("Peak memory"), null=True)
    error = models.CharField(_("Error"), max_length=MAX_TEXT, blank=True)
    exception = models.CharField(_("Exception"), max_length=MAX_NAME, blank=True)

    class Meta:
        verbose_name = _("attempt")
        verbose_name_plural = _("attempts")
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(fields=["job", "number"], name="moi_history_attempt_once")
        ]
        default_permissions = ("view",)

    def __str__(self) -> str:
        return str(self.number)
