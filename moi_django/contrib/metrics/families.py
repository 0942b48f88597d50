"""The metrics there are, as Prometheus names and describes them."""

from typing import NamedTuple


class Family(NamedTuple):
    """One metric."""

    name: str
    # "counter", "gauge" or "histogram".
    type: str
    # What tells its numbers apart, none of which has many values.
    labels: tuple[str, ...]
    help: str


FAMILIES = {
    family.name: family
    for family in (
        Family("moi_info", "gauge", ("version",), "1; its label is the version of moi_django."),
        Family("moi_jobs_submitted_total", "counter", ("context",), "Jobs that were submitted."),
        Family(
            "moi_attempts_started_total",
            "counter",
            ("context",),
            "Attempts at jobs that have begun; those that were run again count each time.",
        ),
        Family(
            "moi_jobs_ended_total",
            "counter",
            ("context", "state"),
            "Jobs that have come to their end: success, failed, cancelled or lost.",
        ),
        Family(
            "moi_job_wait_seconds",
            "histogram",
            ("context",),
            "Seconds from the submit of a job, or from when it was to begin, to its first attempt.",
        ),
        Family(
            "moi_job_run_seconds",
            "histogram",
            ("context", "state"),
            "Seconds that the last attempt at a job that has ended ran.",
        ),
        Family("moi_jobs", "gauge", ("state",), "Jobs that Redis keeps, by state."),
        Family("moi_jobs_waiting", "gauge", ("context",), "Attempts that wait for an engine now."),
        Family(
            "moi_jobs_delayed", "gauge", (), "Attempts that are to wait later, such as retries."
        ),
        Family(
            "moi_job_oldest_wait_seconds",
            "gauge",
            ("context",),
            "Seconds that the job has waited which waits longest; 0 when none does.",
        ),
        Family(
            "moi_context_up",
            "gauge",
            ("context",),
            "1 when the controller of a context answers and has engines, or 0.",
        ),
        Family("moi_context_paused", "gauge", ("context",), "1 when a context is paused, or 0."),
        Family(
            "moi_engines",
            "gauge",
            ("context", "state"),
            "Engines that are busy, idle, silent with a job, gone lately, or of unknown state.",
        ),
        Family("moi_engines_drained", "gauge", ("context",), "Engines that are drained."),
        Family(
            "moi_websockets",
            "gauge",
            (),
            "Open websockets of pages, of all server processes together.",
        ),
        Family(
            "moi_reconciler_timestamp_seconds",
            "gauge",
            (),
            "When a reconciler has looked after jobs last, in seconds since 1970.",
        ),
        Family(
            "moi_events_waiting",
            "gauge",
            ("consumer",),
            "Events that a consumer has yet to deal with; that of these metrics is metrics.",
        ),
    )
}
