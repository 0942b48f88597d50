"""What `moi_django.test` offers."""

from moi_django.contrib.testing.cases import (
    MoiTestCase,
    MoiTestMixin,
    MoiTransactionTestCase,
    arun_jobs,
    clear_jobs,
    hold_jobs,
    run_jobs,
)
from moi_django.contrib.testing.submissions import SubmittedJob, assert_submitted, submitted

__all__ = ["MoiTestCase", "MoiTestMixin", "MoiTransactionTestCase", "SubmittedJob", "arun_jobs"]
__all__ += ["assert_submitted", "clear_jobs", "hold_jobs", "run_jobs", "submitted"]
