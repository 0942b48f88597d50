"""A filter for the handlers of LOGGING."""

import logging

from moi_django.engine.current import current_job

FIELDS = ("job_id", "context", "request_id")


class JobContextFilter(logging.Filter):
    """Lets each record have `job_id`, `context` and `request_id`: of the job that it is made in.

    What a record says of these itself stays; outside of a job they are None.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Say it, and let every record pass."""
        job = current_job()
        values = (job.id, job.context, job.request_id) if job else (None, None, None)
        for name, value in zip(FIELDS, values, strict=True):
            if not hasattr(record, name):
                setattr(record, name, value)
        return True
