"""The attempts at a job, as its page lists them: the earlier ones, and the present or last one."""

from dataclasses import dataclass

from moi_django.models import Attempt, Info, State


@dataclass(frozen=True, slots=True)
class AttemptLine:
    """One run of a job."""

    attempt: Attempt
    # Whether it came to its end, and for how many seconds it ran.
    has_ended: bool
    ran: float | None
    # Whether its engine had other code than the site when the job was submitted.
    is_other_code: bool


def attempts_of(info: Info) -> list[AttemptLine]:
    """Return the attempts at a job that are known, the oldest first."""
    last = Attempt(
        attempt=info.attempt,
        state=info.state or State.QUEUED,
        date_start=info.date_start,
        date_end=info.date_end,
        # Of a single one the page has said so already.
        error=(info.error_line or "") if info.attempt > 1 else "",
        cpu_seconds=info.cpu_seconds,
        peak_memory=info.peak_memory,
        engine_code=info.engine_code,
    )
    # What was cancelled before it began was no attempt.
    made = [*info.runs, *([last] if info.date_start else [])]
    return [
        AttemptLine(
            each,
            has_ended=each is not last or info.finished,
            ran=info.ran_seconds() if each is last else each.ran_seconds,
            is_other_code=bool(info.code and each.engine_code not in (None, info.code)),
        )
        for each in made
    ]
