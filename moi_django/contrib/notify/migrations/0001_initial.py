"""The tables of what users have chosen, and of what is to be sent."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    """As `models` has them."""

    initial = True

    dependencies = [migrations.swappable_dependency(settings.AUTH_USER_MODEL)]

    operations = [
        migrations.CreateModel(
            name="Preference",
            fields=[
                (
                    "user",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "when",
                    models.CharField(
                        choices=[
                            ("never", "Never"),
                            ("failures", "When it has failed"),
                            ("always", "However it has ended"),
                        ],
                        default="never",
                        max_length=10,
                        verbose_name="Tell me by e-mail when a job of mine has ended",
                    ),
                ),
                (
                    "min_seconds",
                    models.PositiveIntegerField(
                        default=0,
                        verbose_name="Only for jobs that took at least this many seconds, "
                        "waiting included",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Message",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("key", models.CharField(max_length=64, unique=True)),
                ("channel", models.CharField(max_length=10)),
                ("target", models.CharField(max_length=1000)),
                ("language", models.CharField(blank=True, max_length=20)),
                ("facts", models.JSONField()),
                ("group", models.CharField(blank=True, max_length=200)),
                ("min_seconds", models.FloatField(default=0)),
                (
                    "stage",
                    models.CharField(
                        choices=[
                            ("held", "Held"),
                            ("due", "Due"),
                            ("sent", "Sent"),
                            ("merged", "Merged"),
                            ("failed", "Failed"),
                        ],
                        default="due",
                        max_length=10,
                    ),
                ),
                ("tries", models.PositiveIntegerField(default=0)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("due_at", models.DateTimeField()),
                ("error", models.CharField(blank=True, max_length=500)),
                (
                    "user",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["stage", "due_at"], name="moi_notify_due"),
                    models.Index(fields=["stage", "group"], name="moi_notify_group"),
                ],
            },
        ),
    ]
