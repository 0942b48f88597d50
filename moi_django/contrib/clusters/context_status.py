"""A context as it is now: what its launcher, its controller and Redis say, put together."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

from moi_django.conf import conf
from moi_django.contrib.clusters.context_settings import ContextSettings, managed_contexts
from moi_django.contrib.clusters.controller import Controller, EngineList
from moi_django.contrib.clusters.launchers import make_launcher
from moi_django.contrib.clusters.slots import (
    Launcher,
    Slot,
    SlotListing,
    SlotState,
    host_of,
    slot_of,
)
from moi_django.exceptions import ServiceError, StoreUnavailable
from moi_django.models import Info, State
from moi_django.site_store import get_store
from moi_django.state_dir import write_whole
from moi_django.store.policy import drained

# Seconds in which an engine that has begun registers.
STARTING = 60.0
# What is said of a cluster that runs without an entry of the settings.
LEFT_BEHIND = (
    'MOI["CONTEXTS"] has no {name} with a LAUNCHER any more: put it back, '
    "`moi cluster stop --context={name}`, and take it out then"
)
# What is said of an engine that its controller has, and whose host cannot be asked for it.
NO_ANSWER = "its host does not answer"
# How many times the lease of an engine may have passed since it has said something.
RECENT = 2


class EngineCondition(StrEnum):
    """What an engine of a context is found to do."""

    PENDING = "pending"
    # It runs, and its controller does not have it yet.
    STARTING = "starting"
    IDLE = "idle"
    BUSY = "busy"
    # It ends when its job has ended.
    LEAVING = "leaving"
    # It runs, and its controller does not have it: it was cut off, or hangs.
    CUT_OFF = "cut off"
    # The controller has it, and the launcher does not: it was killed.
    GONE = "gone"


# Of those that take jobs, or will.
USEFUL = (
    EngineCondition.PENDING,
    EngineCondition.STARTING,
    EngineCondition.IDLE,
    EngineCondition.BUSY,
)


@dataclass(frozen=True, slots=True)
class ContextEngine:
    """An engine of a context as it is now."""

    condition: EngineCondition
    # What its launcher has; None for one that is gone.
    slot: Slot | None
    # Its id, as its controller and its jobs have it, if one of them does.
    id: str | None = None
    job: Info | None = None
    # Why it takes no job, as it has found.
    refusal: str | None = None
    # Whether an operator has said that it takes none.
    is_drained: bool = False

    @property
    def is_useful(self) -> bool:
        """True for one that takes jobs, or will."""
        return self.condition in USEFUL


@dataclass(frozen=True, slots=True)
class ContextStatus:
    """A context with a LAUNCHER as it is now."""

    context: ContextSettings
    # Process of its controller, None when there is none, and its address.
    controller: int | None
    address: str | None
    # How many engines there are to be; None before it was started.
    wanted: int | None
    engines: list[ContextEngine]
    # What kept engines from being known, and jobs of them.
    problems: list[str] = field(default_factory=list)
    job_problem: str | None = None
    # Why it is not known how many engines there are to be.
    wanted_problem: str | None = None
    # Hosts that do not answer beside others that do, and why.
    silent: dict[str, str] = field(default_factory=dict)

    @property
    def all_problems(self) -> list[str]:
        """What kept something from being known."""
        others = [each for each in (self.wanted_problem, self.job_problem) if each]
        return [*self.problems, *self.silent.values(), *others]

    @property
    def useful(self) -> list[ContextEngine]:
        """The engines that take jobs, or will."""
        return [each for each in self.engines if each.is_useful]

    def count(self, condition: EngineCondition) -> int:
        """Return how many engines are so."""
        return sum(each.condition is condition for each in self.engines)

    def to_dict(self) -> dict[str, Any]:
        """Return what programs read."""
        return {
            "context": self.context.name,
            "launcher": self.context.launcher,
            "controller": self.controller,
            "address": self.address,
            "wanted": self.wanted,
            "engines": [
                {
                    "condition": each.condition,
                    "engine": each.id,
                    "job": each.job and each.job.id,
                    "refusal": each.refusal,
                    "drained": each.is_drained,
                    "slot": each.slot and asdict(each.slot),
                }
                for each in self.engines
            ],
            "problems": self.all_problems,
        }


class ManagedContext:
    """A context with a LAUNCHER: its controller and its launcher, and where it is noted."""

    def __init__(self, context: ContextSettings) -> None:
        self.settings = context
        self.controller = Controller(context)
        self._wanted_file = context.directory / "wanted"
        self._launcher_file = context.directory / "launcher"

    @property
    def launcher(self) -> Launcher:
        """What starts its engines."""
        controller = self.controller
        return make_launcher(self.settings, controller.engine_file, controller.engine_arguments)

    @property
    def wanted(self) -> int | None:
        """How many engines were asked for at last; None where it is stopped.

        Raises ServiceError when that cannot be read.
        """
        try:
            return int(self._wanted_file.read_text())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise ServiceError(
                f"How many engines {self.settings.name} is to have is not known: "
                f"{self._wanted_file}: {error}. Say it anew: `moi cluster scale N "
                f"--context={self.settings.name}`, or `start`; what runs goes on."
            ) from error

    @wanted.setter
    def wanted(self, count: int | None) -> None:
        if count is None:
            self._wanted_file.unlink(missing_ok=True)
        else:
            write_whole(self._wanted_file, str(count))

    @property
    def started_launcher(self) -> str | None:
        """The launcher with which its controller was started; None where that is not known."""
        try:
            return self._launcher_file.read_text()
        except FileNotFoundError:
            return None

    def start_controller(self) -> None:
        """Start its controller, and note for which launcher. Raises ServiceError."""
        self.controller.start()
        write_whole(self._launcher_file, self.settings.launcher)

    def require_same_launcher(self) -> None:
        """Raise ServiceError when it runs with another launcher than that of the settings."""
        given, started = self.settings.launcher, self.started_launcher
        if started not in (None, given) and self.controller.pid is not None:
            raise ServiceError(
                f"Context {self.settings.name} runs with LAUNCHER {started!r}, and the settings "
                f"say {given!r}: say {started!r} again, `moi cluster stop` it, and change it then."
            )

    def read_status(
        self, with_engines: Callable[[EngineList, "ContextStatus"], object] | None = None
    ) -> ContextStatus:
        """Return how it is now; `with_engines` gets what the controller has, if it answers."""
        pid = self.controller.pid
        if pid is None:
            return self._status(None, set())
        try:
            self.require_same_launcher()
            with self.controller.connect() as engines:
                status = self._status(pid, engines.ids)
                if with_engines is not None:
                    with_engines(engines, status)
                return status
        except ServiceError as error:
            return self._status(pid, set(), [str(error)])

    def _status(
        self, pid: int | None, ids: set[str], problems: list[str] | None = None
    ) -> ContextStatus:
        wanted, wanted_problem = None, None
        try:
            wanted = self.wanted
        except ServiceError as error:
            wanted_problem = str(error)
        # After the controller was asked: what registers meanwhile is not taken for gone.
        listing = self.launcher.list_slots()
        problems = [*(problems or []), *listing.problems]
        jobs, reported, job_problem = dict[str, Info](), dict[str, bool](), None
        refusals, notes = dict[str, str](), dict[str, str]()
        try:
            jobs, reported = running_jobs(self.settings.name), recent_reports()
            refusals, notes = read_refusals(), get_store().policy.read()
        except StoreUnavailable as error:
            job_problem = f"Which engines have jobs is not known: {error}"
        return ContextStatus(
            self.settings,
            pid,
            self.controller.address if pid else None,
            wanted,
            [
                replace(
                    each,
                    refusal=refusals.get(each.id or ""),
                    is_drained=drained(each.id or "") in notes,
                )
                for each in join_engines(listing, ids, jobs, reported)
            ],
            problems,
            job_problem,
            wanted_problem,
            listing.silent,
        )


def find_left_behind() -> dict[str, int]:
    """Return the controllers that run here for contexts which the settings do not have, by name."""
    found = {}
    for directory in (conf.state_dir.absolute() / "clusters").glob("*"):
        name = directory.name
        if name not in managed_contexts():
            past = ContextSettings(name=name, launcher="", initial=0, least=0, most=0)
            found[name] = Controller(past).pid
    return {name: pid for name, pid in found.items() if pid is not None}


def running_jobs(context: str) -> dict[str, Info]:
    """Return the jobs that run in a context, by the id of their engine."""
    attempts = get_store().queue.running()
    return {
        info.engine: info
        for info in get_store().jobs.get_many([attempt.id for attempt in attempts])
        if info is not None
        and info.state is State.RUNNING
        and info.context == context
        and info.engine
    }


def recent_reports() -> dict[str, bool]:
    """Return which engines have said something of themselves, and whether that is recent."""
    store = get_store()
    present = store.connection.server_time()
    reports = store.engines.reports().items()
    return {engine: present - report.at < RECENT * conf.LEASE for engine, report in reports}


def read_refusals() -> dict[str, str]:
    """Return why engines take no job, of those that have said so at last."""
    said = {id: report.metrics.refusal for id, report in get_store().engines.reports().items()}
    return {id: refusal for id, refusal in said.items() if refusal}


def join_engines(
    listing: SlotListing, ids: set[str], jobs: dict[str, Info], reported: dict[str, bool]
) -> list[ContextEngine]:
    """Put slots, engines and jobs together; one whose slot is not known is not taken for gone."""
    known = {slot_of(id): id for id in ids}
    at_work = {slot_of(id): id for id in jobs}
    spoke = {slot_of(id): is_recent for id, is_recent in reported.items()}
    found = []
    for slot in listing.slots:
        id = known.get(slot.id) or at_work.get(slot.id)
        condition = (
            _condition_of_known(slot.id in at_work)
            if slot.id in known
            else _condition_of_unknown(slot, slot.id in at_work, spoke.get(slot.id))
        )
        found.append(ContextEngine(condition, slot, id, jobs.get(id or "")))
    for slot_id in sorted(known.keys() - {slot.id for slot in listing.slots}):
        id, host = known[slot_id], host_of(slot_id)
        if host in listing.silent:
            condition = _condition_of_known(slot_id in at_work)
            slot = Slot(slot_id, SlotState.RUNNING, NO_ANSWER, host)
            found.append(ContextEngine(condition, slot, id, jobs.get(id)))
        elif not listing.problems:
            found.append(ContextEngine(EngineCondition.GONE, None, id, jobs.get(id)))
    return found


def _condition_of_known(is_at_work: bool) -> EngineCondition:
    return EngineCondition.BUSY if is_at_work else EngineCondition.IDLE


def _condition_of_unknown(
    slot: Slot, is_at_work: bool, spoke_recently: bool | None
) -> EngineCondition:
    """Judge an engine that its controller does not have; one that leaves has said so to it."""
    if slot.state is SlotState.PENDING:
        return EngineCondition.PENDING
    if is_at_work or spoke_recently or slot.state is SlotState.ENDING:
        return EngineCondition.LEAVING
    is_young = slot.age is not None and slot.age < STARTING and spoke_recently is None
    return EngineCondition.STARTING if is_young else EngineCondition.CUT_OFF
