"""Drop from the history what is old."""

from datetime import timedelta

from django.db import router
from django.utils import timezone

from moi_django.contrib.history.models import PastAttempt, PastJob

# How many are dropped in one transaction.
BATCH = 1_000


def prune(days: float) -> int:
    """Drop the jobs that ended more than some days ago; return how many. Raises ValueError."""
    if not days >= 0:
        raise ValueError("Give the number of days for which jobs are kept.")
    using = router.db_for_write(PastJob)
    rows = PastJob.objects.using(using)
    old = rows.filter(ended__lt=timezone.now() - timedelta(days=days)).order_by("ended")
    count = 0
    while ids := list(old.values_list("pk", flat=True)[:BATCH]):
        PastAttempt.objects.using(using).filter(job_id__in=ids).delete()
        count += rows.filter(pk__in=ids).delete()[0]
    return count
