"""Look after running contexts beside the reconciler: engines that are gone, missing, or too many.

A controller knows by missed heartbeats that an engine is dead whose batch job was killed, and takes
minutes where links may be cut for as long; the batch system knows at once. What ends by itself, as
at the end of its wall time, is replaced. Elastic contexts get as many engines as their jobs need.
"""

import logging
import threading
import time
from collections.abc import Callable

from moi_django.contrib.clusters.context_settings import managed_contexts, read_context
from moi_django.contrib.clusters.context_status import (
    ContextStatus,
    EngineCondition,
    ManagedContext,
)
from moi_django.contrib.clusters.controller import EngineList
from moi_django.contrib.clusters.demand import Demand
from moi_django.contrib.clusters.scaling import Change, ContextBusy, locked, release, submit
from moi_django.contrib.clusters.slots import Slot
from moi_django.contrib.command_line.text_report import escape_terminal
from moi_django.exceptions import MoiError, ServiceError

logger = logging.getLogger(__name__)

# Seconds between two looks, and at first and at most between two times at which engines are
# replaced that keep ending.
LOOK_INTERVAL = 5.0
REPLACE_AFTER, REPLACE_AFTER_AT_MOST = 10.0, 600.0
# At how many looks an engine is cut off before it is ended.
CUT_OFF_LOOKS = 12
# Seconds that an engine has to run to count as one that works.
PROVEN_AFTER = 120.0
# Seconds after which it is said that an engine still waits to begin; and after which the same
# problem is said again.
PENDING_AFTER, TOLD_AGAIN_AFTER = 300.0, 600.0


class ContextKeeper:
    """Looks after one context; `say` takes a line for each thing it does."""

    def __init__(self, name: str, say: Callable[[str], object]) -> None:
        self._name, self._say = name, say
        # Engines that were gone at the last look; slots that were cut off, and at how many looks.
        self._gone: set[str] = set()
        self._cut_off: dict[str, int] = {}
        self._asks_at = 0.0
        self._delay = REPLACE_AFTER
        # Since when slots are pending, and those of which that was said.
        self._pending: dict[str, float] = {}
        self._told_pending: set[str] = set()

    def look(self) -> None:
        """Do what is to be done now, unless somebody changes the context. Raises MoiError."""
        settings = read_context(self._name)
        if ManagedContext(settings).wanted is None:
            return  # it is stopped, or is not kept on this host
        with locked(settings, timeout=0.0) as managed:
            wanted = managed.wanted
            if wanted is None:
                return
            if managed.controller.pid is None:
                raise ServiceError(
                    "its controller is gone, or not on this host: "
                    f"`moi cluster start --context={self._name}` starts another"
                )
            status = managed.read_status(self._forget_gone)
            if status.problems:
                raise ServiceError("; ".join(status.problems))
            self._end_cut_off(managed, status)
            self._tell_pending(status)
            needed = self._needed(managed, status, wanted)
            if needed >= len(status.useful):
                self._fill(managed, status, wanted, needed)
            elif settings.launcher != "mpi":
                why = "as no job needs them" if settings.is_elastic else "as asked"
                self._shrink(managed, needed, why)

    def _needed(self, managed: ManagedContext, status: ContextStatus, wanted: int) -> int:
        """Return how many engines there are to be, within what the settings say by now."""
        if not managed.settings.is_elastic:
            return managed.settings.bounded(wanted)
        return Demand(managed.settings.directory / "demand").engines(status, wanted, time.time())

    def _forget_gone(self, engines: EngineList, status: ContextStatus) -> None:
        """Tell the controller of those that were gone at two looks."""
        gone = {
            each.id for each in status.engines if each.condition is EngineCondition.GONE and each.id
        }
        if dead := gone & self._gone:
            engines.forget(dead)
            self._say(f"context {self._name}: {_number(len(dead))} gone")
        self._gone = gone - dead

    def _end_cut_off(self, managed: ManagedContext, status: ContextStatus) -> None:
        """End engines that no controller has and that have no job: nobody can give them one."""
        if status.job_problem:
            return
        slots = {
            each.slot.id: each.slot
            for each in status.engines
            if each.condition is EngineCondition.CUT_OFF and each.slot is not None
        }
        self._cut_off = {id: self._cut_off.get(id, 0) + 1 for id in slots}
        if useless := [slots[id] for id, looks in self._cut_off.items() if looks > CUT_OFF_LOOKS]:
            managed.launcher.kill(useless)
            self._say(f"context {self._name}: {_number(len(useless))} ended that were cut off")

    def _fill(
        self, managed: ManagedContext, status: ContextStatus, wanted: int, needed: int
    ) -> None:
        """Ask for engines: those that have ended, the less often the sooner, and further ones."""
        present = len(status.useful)
        ended, more = max(0, min(wanted, needed) - present), needed - max(present, wanted)
        ages = [each.slot.age or 0.0 for each in status.useful if each.slot is not None]
        if max(ages, default=0.0) > PROVEN_AFTER:
            self._delay = REPLACE_AFTER
        if managed.settings.launcher == "mpi" and status.useful:
            return  # a world has one size, and ends as a whole
        if needed > present:
            if time.monotonic() < self._asks_at:
                return
            # What is refused, as where hosts have no room yet, is asked for as often as before.
            self._asks_at = time.monotonic() + self._delay
            submit(managed, needed - present, status)
            if ended:
                self._delay = min(2 * self._delay, REPLACE_AFTER_AT_MOST)
            else:
                self._asks_at = 0.0
        managed.wanted = needed
        if ended:
            self._say(f"context {self._name}: {_number(ended)} asked for anew")
        if more > 0:
            self._say(f"context {self._name}: {_number(more)} more, as jobs wait")

    def _shrink(self, managed: ManagedContext, needed: int, why: str) -> None:
        """Let engines go, each when its job has ended."""
        change = Change()
        release(managed, needed, change)
        managed.wanted = needed
        if gone := len(change.leaving) + len(change.cancelled):
            self._say(f"context {self._name}: {_number(gone)} fewer, {why}")

    def _tell_pending(self, status: ContextStatus) -> None:
        """Say of engines that they still wait to begin, once, and why."""
        present = time.monotonic()
        pending = {
            each.slot.id: each.slot
            for each in status.engines
            if each.condition is EngineCondition.PENDING and each.slot is not None
        }
        self._pending = {id: self._pending.get(id, present) for id in pending}
        self._told_pending &= pending.keys()
        late = [
            slot
            for id, slot in pending.items()
            if present - self._pending[id] > PENDING_AFTER and id not in self._told_pending
        ]
        if late:
            self._told_pending |= {slot.id for slot in late}
            self._say(f"context {self._name}: {_number(len(late))} pending still: {_reasons(late)}")


def _reasons(slots: list[Slot]) -> str:
    reasons = {escape_terminal(slot.reason) or "no reason is given" for slot in slots}
    return ", ".join(sorted(reasons))


def _number(count: int) -> str:
    return f"{count} engine{'s' * (count != 1)}"


class ClusterKeeper:
    """Looks after all contexts that have a LAUNCHER, each in a thread: a batch system may hang."""

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say = say
        self._keepers: dict[str, ContextKeeper] = {}
        self._threads: dict[str, threading.Thread] = {}
        self._looks_at = 0.0
        # What was said at last of what keeps a context from being looked after, and when.
        self._told: dict[str, tuple[str, float]] = {}

    def look(self) -> None:
        """Begin to look where that does not go on, unless it was done lately."""
        if time.monotonic() < self._looks_at:
            return
        self._looks_at = time.monotonic() + LOOK_INTERVAL
        for name in managed_contexts():
            if name not in self._threads or not self._threads[name].is_alive():
                thread = threading.Thread(
                    target=self._look_at, args=[name], daemon=True, name=f"moi-cluster-{name}"
                )
                thread.start()
                self._threads[name] = thread

    def wait(self) -> None:
        """Wait until what has begun has ended."""
        for thread in self._threads.values():
            thread.join()

    def _look_at(self, name: str) -> None:
        keeper = self._keepers.setdefault(name, ContextKeeper(name, self._say))
        try:
            keeper.look()
        except ContextBusy:
            logger.debug("Context %s is being changed", name)
        except MoiError as error:
            self._tell(name, str(error))
        except Exception:
            logger.exception("Cannot look after context %s", name)

    def _tell(self, name: str, problem: str) -> None:
        """Say what keeps a context from being looked after, and the same only after a while."""
        told, at = self._told.get(name, ("", 0.0))
        if problem != told or time.monotonic() > at + TOLD_AGAIN_AFTER:
            self._say(f"cannot look after context {name}: {problem}")
            self._told[name] = (problem, time.monotonic())
