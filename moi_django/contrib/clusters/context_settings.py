"""What an entry of MOI["CONTEXTS"] with a LAUNCHER says, and what is wrong with one."""

import math
import os
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings

from moi_django.conf import conf
from moi_django.contrib.services.local_cluster import CONTROLLER_PORTS
from moi_django.exceptions import UsageError

# What starts processes on hosts that we can reach; what is asked for batch jobs.
PROCESS_LAUNCHERS = ("local", "ssh", "mpi")
BATCH_LAUNCHERS = ("slurm", "sge", "pbs", "lsf", "htcondor")
LAUNCHERS = PROCESS_LAUNCHERS + BATCH_LAUNCHERS
NOT_LOCAL = tuple(name for name in LAUNCHERS if name != "local")

# What a context is called here: in file names, and in names of batch jobs.
NAME = re.compile(r"[A-Za-z][\w.-]*")
# FIRST-LAST
PORTS = re.compile(r"(\d{1,5})-(\d{1,5})")
# [[DAYS-]HOURS:]MINUTES:SECONDS
TIME = re.compile(r"(?:(?:(\d+)-)?(\d+):)?(\d{1,2}):(\d{2})")
MEMORY = re.compile(r"(\d+(?:\.\d+)?)\s*([MGT])i?B?", re.IGNORECASE)
# Seconds after which a controller gives up an engine of its host, and one that a network leads to:
# after a cut of five minutes TCP may take two more until it tries again. What the launcher says of
# an engine is known earlier.
LOCAL_HEARTBEAT_TIMEOUT, REMOTE_HEARTBEAT_TIMEOUT = 10.0, 600.0
# Seconds for which an elastic context keeps engines that it needs no more.
IDLE_TIMEOUT = 120.0
MEGABYTES = {"M": 1, "G": 1024, "T": 1024 * 1024}


@dataclass(frozen=True, slots=True)
class ContextSettings:
    """An entry with a LAUNCHER."""

    name: str
    launcher: str
    # How many engines `moi cluster start` asks for, between which numbers it may be scaled, and
    # whether that is done by itself as jobs wait.
    initial: int
    least: int
    most: float
    is_elastic: bool = False
    # Seconds for which engines are kept that are needed no more, where it is.
    idle_timeout: float = IDLE_TIMEOUT
    queue: str | None = None
    # Seconds after which the batch system ends an engine.
    seconds: int | None = None
    # Megabytes of an engine with all its jobs start, and its GPUs.
    memory: int | None = None
    gpus: int = 0
    # Shell lines before the engine is started.
    prelude: tuple[str, ...] = ()
    # What else the batch system, ssh or mpiexec is told.
    options: tuple[str, ...] = ()
    # Host -> how many engines it may have; for ssh.
    hosts: tuple[tuple[str, int], ...] = ()
    # The Python of the engines, and the directory in which they start.
    python: str = sys.executable
    working_directory: str = "."
    # Under which address engines reach the controller; None: that of the way to the outside.
    address: str | None = None
    # The ports that the controller opens; none: those that are free.
    ports: tuple[int, ...] = ()
    # Seconds for which an engine may be out of reach of the controller.
    heartbeat_timeout: float = LOCAL_HEARTBEAT_TIMEOUT

    @property
    def is_local(self) -> bool:
        """True where engines are on the host of their controller."""
        return self.launcher == "local"

    @property
    def is_bounded(self) -> bool:
        """True where the settings say how many engines there may be at most."""
        return self.most < math.inf

    @property
    def is_batch(self) -> bool:
        """True where a batch system decides when and where engines run."""
        return self.launcher in BATCH_LAUNCHERS

    @property
    def directory(self) -> Path:
        """Where the controller and what is known of its engines are kept."""
        return conf.state_dir.absolute() / "clusters" / self.name

    def bounded(self, count: int) -> int:
        """Return the number of engines that it may have which is next to `count`."""
        return int(min(max(count, self.least), self.most))

    def check_count(self, count: int) -> None:
        """Raise UsageError for a number of engines that it may not have."""
        if not self.least <= count <= self.most:
            most = f"to {self.most}" if self.is_bounded else "or more"
            raise UsageError(f"Context {self.name} has {self.least} {most} engines, not {count}.")


def managed_contexts() -> list[str]:
    """Return the names of the contexts that have a LAUNCHER."""
    return [name for name, given in conf.CONTEXTS.items() if given.get("LAUNCHER")]


def local_contexts() -> list[str]:
    """Return the names of those whose engines are on the host where they are started."""
    return [name for name in managed_contexts() if conf.CONTEXTS[name]["LAUNCHER"] == "local"]


def read_context(name: str) -> ContextSettings:
    """Return what the settings say of a context.

    Raises UsageError when it has no LAUNCHER, or says what makes no sense.
    """
    given = conf.CONTEXTS.get(name) or {}
    if "LAUNCHER" not in given:
        known = ", ".join(managed_contexts()) or "none"
        raise UsageError(f"Context {name} has no LAUNCHER. Those that have one: {known}.")
    for key, problem in find_problems(name, given):
        raise UsageError(f'MOI["CONTEXTS"][{name!r}], {key}: {problem}')
    hosts, is_local = _hosts(given.get("HOSTS")), given["LAUNCHER"] == "local"
    places = _places(hosts)
    engines = given.get("ENGINES", int(min(os.cpu_count() or 1, places)))
    is_range = _is_pair(engines)
    least, most = engines if is_range else (0, places)
    return ContextSettings(
        name=name,
        launcher=given["LAUNCHER"],
        initial=engines if isinstance(engines, int) else least,
        least=least,
        most=most,
        is_elastic=is_range and least < most,
        idle_timeout=float(given.get("IDLE_TIMEOUT", IDLE_TIMEOUT)),
        queue=given.get("QUEUE"),
        seconds=_seconds(given.get("TIME")),
        memory=_megabytes(given.get("MEMORY")),
        gpus=given.get("GPUS", 0),
        prelude=_lines(given.get("PRELUDE")),
        options=_lines(given.get("OPTIONS")),
        hosts=hosts,
        python=str(given.get("PYTHON", sys.executable)),
        working_directory=str(given.get("DIRECTORY") or _base_directory()),
        address=given.get("ADDRESS"),
        ports=_ports(given.get("PORTS")),
        heartbeat_timeout=float(
            given.get("HEARTBEAT_TIMEOUT")
            or (LOCAL_HEARTBEAT_TIMEOUT if is_local else REMOTE_HEARTBEAT_TIMEOUT)
        ),
    )


def _base_directory() -> Path:
    return Path(getattr(settings, "BASE_DIR", None) or Path.cwd())


def find_problems(name: str, given: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each key of an entry that has a LAUNCHER and makes no sense, and why."""
    if not NAME.fullmatch(name):
        yield "LAUNCHER", "the name of such a context has letters, digits, '_', '-' and '.' only."
    launcher = given["LAUNCHER"]
    if launcher not in LAUNCHERS:
        yield "LAUNCHER", f"{launcher!r} is none. There are: {', '.join(LAUNCHERS)}."
        return
    for key, value in given.items():
        if key not in KEYS:
            yield key, f"no key of a context with a LAUNCHER. There are: {', '.join(KEYS)}."
        elif launcher not in KEYS[key].launchers:
            yield key, f"means nothing to {launcher!r}, only to {', '.join(KEYS[key].launchers)}."
        elif not KEYS[key].accepts(value):
            yield key, f"{value!r} is not {KEYS[key].like}."
    yield from _find_contradictions(launcher, given)


def _find_contradictions(launcher: str, given: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each key that does not go with another one, and why."""
    is_elastic = _is_pair(given.get("ENGINES"))
    if is_elastic and launcher == "mpi":
        yield "ENGINES", "an MPI world keeps its size: give one number."
    if "IDLE_TIMEOUT" in given and not is_elastic:
        yield "IDLE_TIMEOUT", "means nothing unless ENGINES is (min, max)."
    if launcher == "ssh" and not given.get("HOSTS"):
        yield "HOSTS", "ssh needs some: a list, or a dict of how many engines each may have."
    elif launcher == "ssh" and KEYS["HOSTS"].accepts(given["HOSTS"]):
        yield from _find_too_many(given.get("ENGINES", 0), _places(_hosts(given["HOSTS"])))
    if launcher in ("ssh", "mpi") and not _are_words(given.get("OPTIONS")):
        yield "OPTIONS", "a shell could not read that: a quote has no end."


def _find_too_many(engines: Any, places: float) -> Iterator[tuple[str, str]]:
    asked = engines[-1] if _is_range(engines) else engines
    if places < 1:
        yield "HOSTS", "lets no host have an engine."
    elif _is_count(asked) and asked > places:
        yield "ENGINES", f"more than HOSTS may have, which is {places}."


@dataclass(frozen=True, slots=True)
class _Key:
    """What a key may be, in words too, and for which launchers it means something."""

    accepts: Any
    like: str
    launchers: tuple[str, ...] = LAUNCHERS


def _is_duration(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and 5 <= value < math.inf


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_pair(value: Any) -> bool:
    return isinstance(value, (tuple, list)) and len(value) == 2


def _is_range(value: Any) -> bool:
    is_one = _is_pair(value) and all(map(_is_count, value))
    return is_one and value[0] <= value[1] and value[1] > 0


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != "" and value.isprintable()


def _is_path(value: Any) -> bool:
    return isinstance(value, os.PathLike) or _is_text(value)


def _are_lines(value: Any) -> bool:
    """Tell whether it is text of several lines, or a list of lines."""
    return isinstance(value, str) or (
        isinstance(value, (list, tuple)) and all(isinstance(line, str) for line in value)
    )


def _are_words(value: Any) -> bool:
    """Tell whether a shell can part each line."""
    try:
        return all(shlex.split(line) is not None for line in _lines(value))
    except (TypeError, ValueError, AttributeError):
        return not _are_lines(value)  # of which is said that it is none


def _are_hosts(value: Any) -> bool:
    counts = value.values() if isinstance(value, dict) else ()
    # What begins with a hyphen would be an option of ssh.
    names_fit = isinstance(value, (dict, list, tuple)) and all(
        _is_text(host) and not host.startswith("-") and " " not in host for host in value
    )
    return names_fit and all(_is_count(count) for count in counts)


def _seconds(value: Any) -> int | None:
    if isinstance(value, timedelta):
        return int(value.total_seconds())
    found = TIME.fullmatch(value) if isinstance(value, str) else None
    if not found:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def _megabytes(value: Any) -> int | None:
    found = MEMORY.fullmatch(value) if isinstance(value, str) else None
    return math.ceil(float(found[1]) * MEGABYTES[found[2].upper()]) if found else None


def _lines(value: Any) -> tuple[str, ...]:
    lines = value.splitlines() if isinstance(value, str) else value or ()
    return tuple(line for line in lines if line.strip())


def _hosts(value: Any) -> tuple[tuple[str, int], ...]:
    cpus = os.cpu_count() or 1
    given = value if isinstance(value, dict) else dict.fromkeys(value or (), cpus)
    return tuple(given.items())


def _places(hosts: tuple[tuple[str, int], ...]) -> float:
    """Return how many engines hosts may have; any number where none are named."""
    return sum(most for _, most in hosts) if hosts else math.inf


def _ports(value: Any) -> tuple[int, ...]:
    found = PORTS.fullmatch(value) if isinstance(value, str) else None
    if not found:
        return ()
    first, last = int(found[1]), int(found[2])
    is_possible = first >= 1024 and last < 65_536 and last - first >= CONTROLLER_PORTS - 1
    return tuple(range(first, last + 1)) if is_possible else ()


KEYS = {
    "LAUNCHER": _Key(LAUNCHERS.__contains__, "a launcher"),
    "ENGINES": _Key(
        lambda value: _is_count(value) or _is_range(value), "a number of engines, or (min, max)"
    ),
    "QUEUE": _Key(_is_text, "the name of a queue or partition", BATCH_LAUNCHERS),
    "TIME": _Key(
        lambda value: (_seconds(value) or 0) >= 60,
        'a time of a minute or more such as "08:00:00" or "2-00:00:00", or a timedelta',
        BATCH_LAUNCHERS,
    ),
    "MEMORY": _Key(_megabytes, 'an amount such as "4G" or "500M"', BATCH_LAUNCHERS),
    "GPUS": _Key(_is_count, "a number of GPUs for each engine", BATCH_LAUNCHERS),
    "PRELUDE": _Key(_are_lines, "shell lines: text or a list"),
    "OPTIONS": _Key(
        _are_lines,
        "options: text of several lines or a list",
        NOT_LOCAL,
    ),
    "HOSTS": _Key(
        _are_hosts, "a list of hosts, or a dict with how many engines each may have", ("ssh",)
    ),
    "PYTHON": _Key(_is_path, "the path of a Python"),
    "DIRECTORY": _Key(_is_path, "the path of a directory"),
    "HEARTBEAT_TIMEOUT": _Key(_is_duration, "a number of seconds, 5 or more"),
    "IDLE_TIMEOUT": _Key(
        _is_duration,
        "a number of seconds, 5 or more",
        tuple(name for name in LAUNCHERS if name != "mpi"),
    ),
    "PORTS": _Key(
        _ports,
        f'ports such as "20001-20020", {CONTROLLER_PORTS} or more',
        NOT_LOCAL,
    ),
    "ADDRESS": _Key(_is_text, "an address of this host", NOT_LOCAL),
}
