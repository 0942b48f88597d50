"""What can go wrong, one class for each thing a caller may want to do about it."""

from typing import Self


class MoiError(Exception):
    """Be the base of every error that moi_django raises on purpose."""


class StoreUnavailable(MoiError):
    """Say that Redis could not be reached or refused the command."""


class NotRunning(StoreUnavailable):
    """Say that no Redis is configured and no `moi up` runs for this project."""


class ClusterUnavailable(MoiError):
    """Say that the controller could not be reached or has no engine."""


class UnknownContext(MoiError):
    """Say that MOI["CONTEXTS"] has no entry of this name."""


class InvalidJob(MoiError):
    """Say that what was asked for cannot be a job: its function, name, url or owner is wrong."""


class DuplicateJob(InvalidJob):
    """Say that an unfinished job of the owner, with this id, has the same unique key."""

    def __init__(self, id: str, key: str | None) -> None:
        self.id = id
        super().__init__(f"Job {id} is unfinished and has the unique key {key!r}, too.")


class JobNotFound(MoiError):
    """Say that Redis holds no job of this id: it never was, was removed, or expired."""

    @classmethod
    def for_id(cls, id: str | None) -> Self:
        """Return the error that says so of an id."""
        return cls(f"There is no job {id}: it was removed or has expired.")


class GroupNotFound(MoiError):
    """Say that Redis holds no group of this id: it never was, was removed, or expired."""

    @classmethod
    def for_id(cls, id: str | None) -> Self:
        """Return the error that says so of an id."""
        return cls(f"There is no group {id}: it never was, was removed, or has expired.")


class JobFailed(MoiError):
    """Say that the job which was waited for ended without success."""


class JobLost(JobFailed):
    """Say that it got lost: its engine is gone, or says nothing of it any more."""


class JobCancelled(JobFailed):
    """Say that it was cancelled, or skipped because of another one."""


class JobTimedOut(JobFailed):
    """Say that it took longer than its timeout."""


class PayloadRefused(MoiError):
    """Say that the function of a job which should be run is gone or not signed by us."""


class NoProcess(MoiError):
    """Say that an engine cannot start a process for a job."""


class UsageError(MoiError):
    """Say that what was typed makes no sense; the exit code is 2 then."""


class ServiceError(MoiError):
    """Say that something `moi up` looks after did not start or stopped by itself."""
