"""The backend for Django's own task interface: TASKS names `moi_django.tasks.MoiBackend`."""

from moi_django.contrib.tasks.backend import MoiBackend as MoiBackend
from moi_django.contrib.tasks.backend import MoiTask as MoiTask
