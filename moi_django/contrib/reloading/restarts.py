"""Let engines load the code of the site anew: each once its job has ended, and without losing one.

Redis knows who has been asked. An engine that has been claims nothing until it has ended what had
loaded code, its fork servers, and started another one: it does so when it is called, and whoever
has a job for it or a reconciler calls it.
"""

import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence

from moi_django.cluster import dispatch
from moi_django.contrib.monitoring.cluster_state import (
    EngineCondition,
    EngineState,
    get_cluster_state,
)
from moi_django.contrib.operation.pauses import engine_label, forget_gone_engines
from moi_django.engine.pickling import PYTHON_VERSION
from moi_django.models import now
from moi_django.site_store import get_store
from moi_django.store import Store, policy

# Seconds between two looks, after which an engine is called again, and for which one that has no
# job keeps the next one from being asked.
INTERVAL, CALL_PATIENCE, TURN_PATIENCE = 0.5, 10.0, 10.0
# Seconds for an engine to say what code it has loaded.
LOADED_WITHIN = 10.0
_PREFIX = policy.restart("")


def ask(store: Store, engines: Iterable[str]) -> None:
    """Let engines load code anew as soon as they run no job."""
    store.policy.update({policy.restart(engine): now() for engine in engines})


def asked_engines() -> set[str]:
    """Return the ids of the engines that have been asked, and have not done it yet."""
    fields = get_store().policy.read()
    return {field.removeprefix(_PREFIX) for field in fields if field.startswith(_PREFIX)}


class RestartCaller:
    """Calls engines that have been asked and have nothing to do, for else they would not hear."""

    def __init__(self) -> None:
        # When each was called last.
        self._called: dict[str, float] = {}

    def call_asked(self) -> None:
        """Call those that have not just been called. Raises StoreUnavailable or NotRunning."""
        if asked := asked_engines():
            self.call(asked, get_cluster_state().engines)

    def call(self, asked: Collection[str], engines: Sequence[EngineState]) -> None:
        """Do so with engines as they are now."""
        present = {each.id for each in engines if each.condition is not EngineCondition.GONE}
        if not present.issuperset(asked):
            forget_gone_engines()
        for engine in engines:
            is_due = time.monotonic() >= self._called.get(engine.id, 0.0) + CALL_PATIENCE
            if engine.id in asked and _is_idle(engine) and is_due:
                self._called[engine.id] = time.monotonic()
                python = ".".join(engine.metrics.python.split(".")[:2]) or PYTHON_VERSION
                dispatch.call_worker(f"{engine.context}:{python}", dispatch.new_call(), [engine.id])


def _is_idle(engine: EngineState) -> bool:
    return engine.condition is EngineCondition.IDLE


class RollingRestart:
    """Has engines load code anew, those without a job one after the other."""

    def __init__(self, engines: Sequence[EngineState], say: Callable[[str], object]) -> None:
        self._say = say
        self._known = {engine.id: engine for engine in engines}
        self._caller = RestartCaller()
        # When each was asked that has not done it yet, and those that are to be asked.
        self._asked: dict[str, float] = {}
        self._waiting = deque(each.id for each in engines if _is_idle(each))
        # Those whose controller does not answer, which may be gone.
        self._unreached = [each for each in engines if not _is_idle(each) and each.job is None]
        # When each was seen first that has ended what had loaded code.
        self._ended: dict[str, float] = {}

    def run(self, timeout: float | None = None) -> list[EngineState]:
        """Return those that have not done it after some seconds, if any; they have been asked, too.

        Those whose controller does not answer are not waited for. Raises StoreUnavailable or
        NotRunning.
        """
        busy = [each for each in self._known.values() if each.job is not None]
        for engine in busy:
            self._say(f"{engine_label(engine)}: its job runs to its end first")
        self._ask([each.id for each in busy])
        deadline = None if timeout is None else time.monotonic() + timeout
        while self._waiting or self._asked:
            if deadline is not None and time.monotonic() >= deadline:
                break
            if self._waiting and not self._is_turn_taken():
                self._ask([self._waiting.popleft()])
            self._look()
            if self._waiting or self._asked:
                time.sleep(INTERVAL)
        self._ask([*self._waiting, *(each.id for each in self._unreached)])
        return [self._known[id] for id in self._asked]

    def _ask(self, ids: Collection[str]) -> None:
        ask(get_store(), ids)
        # Those with a job do not count as having their turn.
        at = {id: 0.0 if self._known[id].job else time.monotonic() for id in ids}
        self._asked.update(at)

    def _is_turn_taken(self) -> bool:
        return any(time.monotonic() < at + TURN_PATIENCE for at in self._asked.values() if at)

    def _look(self) -> None:
        """Call those that do not hear, and say who has done it."""
        # In this order: who has done what it was asked for says of no old code any more.
        asked, engines = asked_engines(), get_cluster_state().engines
        self._caller.call(asked & self._asked.keys(), engines)
        present = {each.id: each for each in engines}
        for id in [*self._asked]:
            engine = present.get(id)
            if engine is None or engine.condition is EngineCondition.GONE:
                self._tell(id, "is gone")
            elif id not in asked and self._has_loaded(engine):
                self._tell(id, f"has loaded its code anew ({engine.metrics.code or 'unknown'})")

    def _has_loaded(self, engine: EngineState) -> bool:
        """Tell whether it has said so, for which one that has none of the code gets a while."""
        since = self._ended.setdefault(engine.id, time.monotonic())
        return engine.metrics.code is not None or time.monotonic() >= since + LOADED_WITHIN

    def _tell(self, id: str, what: str) -> None:
        del self._asked[id]
        self._say(f"{engine_label(self._known[id])}: {what}")
