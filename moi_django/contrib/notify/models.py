"""What users have chosen to be told of, and what is to be sent."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy


class When(models.TextChoices):
    """Of which ends somebody is told."""

    NEVER = "never", pgettext_lazy("moi", "Never")
    FAILURES = "failures", _("When it has failed")
    ALWAYS = "always", _("However it has ended")


class Preference(models.Model):
    """What one user has chosen."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, models.CASCADE, primary_key=True, related_name="+"
    )
    when = models.CharField(
        _("Tell me by e-mail when a job of mine has ended"),
        max_length=10,
        choices=When,
        default=When.NEVER,
    )
    min_seconds = models.PositiveIntegerField(
        _("Only for jobs that took at least this many seconds, waiting included"), default=0
    )

    class Meta:
        app_label = "moi_notify"

    def __str__(self) -> str:
        return f"{self.pk}: {self.when}"


class Stage(models.TextChoices):
    """How far a message has come."""

    # Waits for the other jobs of its group.
    HELD = "held"
    DUE = "due"
    SENT = "sent"
    # It was told with others of its group, or that was not wanted.
    MERGED = "merged"
    FAILED = "failed"


class Message(models.Model):
    """What is to be sent to one address, or was: of a job, or of a group of them."""

    # Of the job and the address: the same thing that is heard of twice is one message.
    key = models.CharField(max_length=64, unique=True)
    channel = models.CharField(max_length=10)
    # An e-mail address, the name of a webhook in the settings, or the address of one.
    target = models.CharField(max_length=1000)
    # Its user, if it is one of the site.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, null=True, blank=True, related_name="+"
    )
    language = models.CharField(max_length=20, blank=True)
    # What is to be told, fit for JSON.
    facts = models.JSONField()
    # Id of the group with which a job is told; empty for none. And what that is to have taken.
    group = models.CharField(max_length=200, blank=True)
    min_seconds = models.FloatField(default=0)
    stage = models.CharField(max_length=10, choices=Stage, default=Stage.DUE)
    tries = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    due_at = models.DateTimeField()
    # Why it could not be sent the last time.
    error = models.CharField(max_length=500, blank=True)

    class Meta:
        app_label = "moi_notify"
        indexes = [
            models.Index(fields=["stage", "due_at"], name="moi_notify_due"),
            models.Index(fields=["stage", "group"], name="moi_notify_group"),
        ]

    def __str__(self) -> str:
        return f"{self.channel} {self.target}: {self.stage}"
