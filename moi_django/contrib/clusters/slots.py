"""What launchers hold: a slot for each engine, which is a process or a batch job of one."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

# What scripts and launchers say in the environment: the slot of an engine, where its process id is
# not enough, the host of its process as the settings have it, and the seconds that it may run.
SLOT, HOST, WALL_TIME = "MOI_ENGINE_SLOT", "MOI_ENGINE_HOST", "MOI_ENGINE_WALL_TIME"
# Characters before the slot in an id.
TOKEN_LENGTH = 8


def leaves_before(wall_time: int) -> int:
    """Return how many seconds before the end of its wall time an engine takes no more jobs."""
    return min(max(60, wall_time // 10), 3600, wall_time // 2)


def slot_of(engine: str) -> str:
    """Return the id of the slot that an engine has."""
    return engine[TOKEN_LENGTH + 1 :]


def host_of(slot: str) -> str:
    """Return the host in the id of a slot that is a process; nothing for a batch job."""
    return slot.partition("@")[2]


class SlotState(StrEnum):
    """What a launcher says of a slot; one that has ended is not spoken of."""

    PENDING = "pending"
    RUNNING = "running"
    ENDING = "ending"


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of one engine."""

    # The id of a batch job, with the index of its array, or PID@HOST.
    id: str
    state: SlotState
    # Why it is pending, in the words of the batch system, or what else is to be said.
    reason: str = ""
    host: str = ""
    # Seconds that it has run, and that it may run on.
    age: float | None = None
    left: float | None = None


@dataclass(frozen=True, slots=True)
class SlotListing:
    """The slots there are, and what keeps some from being known."""

    slots: list[Slot]
    # Why nothing is known.
    problems: list[str] = field(default_factory=list)
    # Hosts that do not answer beside others that do, and why: what they have is not known.
    silent: dict[str, str] = field(default_factory=dict)


class Launcher(Protocol):
    """Starts engines of a context somewhere; it remembers nothing.

    What refuses raises ServiceError, in its own words.
    """

    def submit(self, count: int) -> list[str]:
        """Ask for engines; return the ids of what was submitted."""

    def list_slots(self) -> SlotListing:
        """Return the slots as they are now."""

    def cancel(self, slots: list[Slot]) -> None:
        """Drop slots that are pending; one that has begun meanwhile goes on, where that can be."""

    def kill(self, slots: list[Slot]) -> None:
        """End slots, and whatever runs there."""

    def read_log(self, slot: str, lines: int) -> str:
        """Return the last lines that the engine of a slot has written."""
