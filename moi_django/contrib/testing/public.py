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
from moi_django.contrib.testing.live_jobs import live_jobs
from moi_django.contrib.testing.page import MoiPage, PageClosed
from moi_django.contrib.testing.submissions import SubmittedJob, assert_submitted, submitted

__all__ = ["MoiPage", "MoiTestCase", "MoiTestMixin", "MoiTransactionTestCase", "PageClosed"]
__all__ += ["SubmittedJob", "arun_jobs", "assert_submitted", "clear_jobs", "hold_jobs", "live_jobs"]
__all__ += ["run_jobs", "submitted"]
