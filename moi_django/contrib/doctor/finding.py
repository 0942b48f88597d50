"""What the doctor looks at, by name, and what is found of it."""

from collections.abc import Iterable, Sized
from dataclasses import dataclass, replace
from enum import StrEnum

# Each check, in the order in which they are shown, and what it is about.
CHECKS = {
    "connection-file": "the file with the address of the controller, and who listens there",
    "controller-loopback": "a controller that only its own host can reach",
    "controller-address": "the name or address under which engines look for the controller",
    "connection-key": "the key in that file",
    "port-registration": "the port where engines register",
    "port-task": "the ports by which jobs reach engines",
    "port-mux": "the ports by which engines are asked directly",
    "port-heartbeat": "the ports by which the controller knows that an engine lives",
    "port-control": "the ports by which engines are told to end, and their output comes",
    "redis-reachable": "the way to Redis",
    "redis-password": "the password of Redis",
    "redis-tls": "TLS to Redis, and its files",
    "redis-eviction": "what Redis does when it is full",
    "redis-persistence": "whether Redis keeps jobs over a restart",
    "engine-imports": "the code of the site on engines",
    "engine-settings": "DJANGO_SETTINGS_MODULE of engines",
    "engine-packages": "moi_django and ipyparallel of engines",
    "engine-python": "the Python of engines",
    "clock": "the clocks of hosts beside that of Redis",
    "file-storage": "where files go that jobs attach",
    "engine-paths": "paths in the settings that engines need",
    "open-files": "how many files the controller may have open",
    "cut-off": "engines that their controller does not know",
    "task-connection": "engines that are sent jobs and get none",
    "pending": "engines that wait in the batch system",
    "channel-layer": "the channel layer of the site",
    "launcher": "what launchers say of engines that do not start",
}


# How many engines are named of which the same is said.
MOST_NAMED = 3


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    # Worth knowing; jobs go on.
    NOTE = "note"
    FAULT = "FAULT"


@dataclass(frozen=True, slots=True)
class Finding:
    """What is found of one check."""

    check: str
    level: Level
    text: str
    # What to do.
    advice: str = ""
    # The context or engine that it is about; nothing where it is about the site.
    where: str = ""

    @property
    def line(self) -> str:
        """All of it in a line."""
        about = f"{self.where}: " if self.where else ""
        told = ": ".join(filter(None, [f"{about}{self.text}", self.advice]))
        return f"{self.level:<6} {self.check:<20} {told}"


def fault(check: str, text: str, advice: str = "", where: str = "") -> Finding:
    """Return what keeps jobs from being run."""
    return Finding(check, Level.FAULT, text, advice, where)


def note(check: str, text: str, advice: str = "", where: str = "") -> Finding:
    """Return what is worth knowing."""
    return Finding(check, Level.NOTE, text, advice, where)


def ok(check: str, text: str, where: str = "") -> Finding:
    """Return that something is well."""
    return Finding(check, Level.OK, text, "", where)


def count(engines: Sized) -> str:
    """Return how many engines there are, in words."""
    return f"{len(engines)} engine{'s' * (len(engines) != 1)}"


def shortened(findings: Iterable[Finding]) -> list[Finding]:
    """Return one for all that say the same of several engines; what is well, once a check."""
    kinds = dict[tuple[str, ...], list[Finding]]()
    for each in findings:
        is_ok = each.level is Level.OK
        kinds.setdefault((each.check, "" if is_ok else each.text + each.advice), []).append(each)
    return [_together(alike) for alike in kinds.values()]


def _together(alike: list[Finding]) -> Finding:
    first, others = alike[0], len(alike) - MOST_NAMED
    if first.level is Level.OK:
        text = f"{first.text}; and {len(alike) - 1} more" if len(alike) > 1 else first.text
        return replace(first, text=text)
    names = "; ".join(each.where for each in alike[:MOST_NAMED])
    return replace(first, where=f"{names}; and {others} more" if others > 0 else names)


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings in the order of the checks, each once."""
    order = {name: number for number, name in enumerate(CHECKS)}
    return sorted(dict.fromkeys(findings), key=lambda each: (order[each.check], each.where))
