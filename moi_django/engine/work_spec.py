"""What a site tells its engines when it calls them to work."""

from dataclasses import dataclass
from typing import Any

from moi_django.store import StoreConfig


@dataclass(frozen=True, slots=True)
class Limits:
    """How long what a job leaves in Redis may be, in bytes; a status text in characters."""

    result: int
    status: int
    log: int
    display: int


@dataclass(frozen=True, slots=True)
class WorkSpec:
    """What an engine has to know of a site to run its jobs."""

    # Where the site keeps its jobs, as its engines reach it.
    store: StoreConfig
    # The contexts whose jobs these engines run.
    contexts: tuple[str, ...]
    # Those with which the functions of jobs may be signed.
    keys: tuple[bytes, ...]
    limits: Limits
    # Where the site keeps the files that jobs attach, as an optional part has it.
    attachment_storage: Any
    # Seconds that an interrupted job has to end, and for which an end is tried to be written.
    grace: float
    patience: float
    # Seconds for which an engine without a job waits, and after which others have their turn.
    linger: float
    turn: float
    # Modules that are imported before any job.
    preload: tuple[str, ...]
    # Bytes of memory that the processes of one job may have; None for any.
    memory_limit: int | None
    # The code of the site, and what engines prove before a job, as optional parts have them.
    code: Any = None
    proof: Any = None
