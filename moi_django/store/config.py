"""How a store is set up: the same for the site and its engines, but for the address of Redis."""

from dataclasses import dataclass

EXPIRE = 86400 * 14


@dataclass(frozen=True, slots=True)
class StoreConfig:
    """Where jobs are kept, and for how long."""

    url: str
    # Goes before every key and every channel.
    prefix: str = ""
    # Seconds that jobs and groups are kept after their last change.
    expire: int = EXPIRE
    # Seconds for which an engine is believed to run its job; it renews that four times as often.
    lease: float = 8.0
    # Bytes of a signed function that are kept of a job which did not succeed, so it can be retried.
    retry_payload_limit: int = 1_000_000
    # Somebody hears of events: a new job lets their stream begin.
    begins_events: bool = False
