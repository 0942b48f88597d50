"""Events as signals of Django, for who connects to one of these."""

from collections.abc import Sequence
from typing import Any

from django.dispatch import Signal

from moi_django.contrib.events.registry import EventKind, JobEvent, register

# How many events are read at once, and so how many may be told again after a process has died.
BATCH = 20


class JobSignal(Signal):
    """A signal about a job, sent with its class `Job` as sender, `job` and `info`."""

    def connect(self, *args: Any, **kwargs: Any) -> None:
        """Connect a receiver, from which on this process hears of jobs."""
        super().connect(*args, **kwargs)
        register("signals", send_signals, batch=BATCH)


job_submitted = JobSignal()
# An attempt has begun.
job_started = JobSignal()
# Its state or its status text is another, and it neither begins nor ends.
job_status_changed = JobSignal()
job_finished = JobSignal()

SIGNALS = {
    EventKind.SUBMITTED: job_submitted,
    EventKind.STARTED: job_started,
    EventKind.CHANGED: job_status_changed,
    EventKind.FINISHED: job_finished,
}


def send_signals(events: Sequence[JobEvent]) -> None:
    """Send what becomes of jobs; Django logs what a receiver raises, and goes on."""
    from moi_django.jobs.api import Job  # costs time to import

    for event in events:
        # Of one that was retried later on, the new job is told.
        if event.kind is EventKind.CHANGED and event.info.finished:
            continue
        SIGNALS[event.kind].send_robust(sender=Job, job=Job(event.info), info=event.info)
