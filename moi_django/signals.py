"""What becomes of jobs, as signals of Django; connect to them in ready() of an AppConfig."""

from moi_django.contrib.events.job_signals import job_finished as job_finished
from moi_django.contrib.events.job_signals import job_started as job_started
from moi_django.contrib.events.job_signals import job_status_changed as job_status_changed
from moi_django.contrib.events.job_signals import job_submitted as job_submitted
