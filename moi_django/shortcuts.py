"""Helpers for the views of a site: `from moi_django.shortcuts import get_job_or_404`."""

from moi_django.contrib.job_pages.shortcuts import get_group_or_404 as get_group_or_404
from moi_django.contrib.job_pages.shortcuts import get_job_or_404 as get_job_or_404
