"""Be an engine of a context, as launchers start it: `python -m moi_django.contrib.clusters.engine`.

It is an engine of ipyparallel whose id ends with that of its slot, a process or batch job, so that
the one is found by the other. Told to leave, by SIGTERM or as its wall time comes to its end, it
takes no further job, and ends when its present one has ended. So it does when its controller, which
it asks while it is idle and in doubt, has it no more: one that was cut off never gets work again.
"""

import asyncio
import os
import secrets
import signal
import sys
import threading
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import zmq
import zmq.asyncio
from ipyparallel.engine.app import IPEngine
from traitlets import Float, default

from moi_django.contrib.clusters.slots import HOST, SLOT, TOKEN_LENGTH, WALL_TIME, leaves_before
from moi_django.engine.departure import leaving

# By these an engine knows that it is one of an MPI world.
RANKS = {"OMPI_COMM_WORLD_RANK", "PMI_RANK"}
# Seconds that an answer of the controller is waited for, and how many in a row have to say that an
# engine is unknown: one that has just registered may not be in the first.
ANSWER_TIMEOUT, UNKNOWN_ANSWERS = 5.0, 2
# Seconds between two questions, each of which the controller notes, while heartbeats are heard.
QUIET_INTERVAL = 600.0


def own_slot() -> str:
    """Return the id of the slot of this process."""
    return os.environ.get(SLOT) or f"{os.getpid()}@{os.environ.get(HOST, 'localhost')}"


class ContextEngine(IPEngine):
    """An engine that has its slot in its id, and leaves rather than to be lost with its job."""

    question_interval = Float(60.0, help="Seconds between two looks whether it is known.").tag(
        config=True
    )

    @default("ident")
    def _default_ident(self) -> str:
        return f"{secrets.token_hex(TOKEN_LENGTH // 2)}-{own_slot()}"

    def initialize(self, argv: Any = None) -> None:
        """Make the directory of the engines on this host, and begin to count the wall time."""
        for argument in sys.argv:
            if argument.startswith("--profile-dir="):
                Path(argument.partition("=")[2]).mkdir(mode=0o700, parents=True, exist_ok=True)
        # By mpiexec; a world that nobody speaks in needs no mpi4py.
        if os.environ.keys() & RANKS and find_spec("mpi4py"):
            self.use_mpi = True
        super().initialize(argv)
        if wall_time := int(os.environ.get(WALL_TIME) or 0):
            left = leaves_before(wall_time)
            # It counts from the begin of the batch job, whose shell has become this process.
            age = time.time() - psutil.Process().create_time()
            stays = max(0.0, wall_time - left - max(0.0, age))
            timer = threading.Timer(stays, self._leave_for_wall_time, [left])
            timer.daemon = True
            timer.start()

    def _leave_for_wall_time(self, left: int) -> None:
        self.log.warning("The wall time ends in %d s: no further job is taken here", left)
        os.kill(os.getpid(), signal.SIGTERM)

    async def complete_registration(self, *arguments: Any) -> None:
        """Begin to ask whether the controller has this engine, once it has said so."""
        await super().complete_registration(*arguments)
        self._questions = asyncio.ensure_future(self._leave_when_unknown())

    async def _leave_when_unknown(self) -> None:
        """Ask when no heartbeat was heard for a while, which may be because a job ran here."""
        unknown, asks_at, is_doubtful = 0, 0.0, False
        while unknown < UNKNOWN_ANSWERS:
            looked_at = time.time()
            await asyncio.sleep(self.question_interval)
            silence = time.time() - min(looked_at, self._hb_last_pinged)
            is_doubtful |= silence > 2 * self.question_interval or time.monotonic() > asks_at
            if is_doubtful and (known := await self._ask_who_is_known()) is not None:
                unknown = unknown + 1 if self.ident not in known else 0
                is_doubtful = unknown > 0
                asks_at = time.monotonic() + QUIET_INTERVAL
        self.log.warning("The controller has given up this engine, which was cut off: it ends")
        os.kill(os.getpid(), signal.SIGTERM)

    async def _ask_who_is_known(self) -> set[str] | None:
        """Return the ids that the controller has; None while it does not answer."""
        self.session.send(self.registrar, "connection_request")
        poller = zmq.asyncio.Poller()
        poller.register(self.registrar, zmq.POLLIN)
        known: set[str] | None = None
        while await poller.poll(ANSWER_TIMEOUT * 1000 if known is None else 0):
            # Of several, which questions before a cut have waited for, the last counts.
            _, parts = self.session.feed_identities(self.registrar.recv_multipart())
            known = set(self.session.deserialize(parts)["content"]["engines"].values())
        return known

    def _signal_stop(self, sig: Any, frame: Any) -> None:
        """Leave: the controller sends nothing more, and the present call ends with its job."""
        if leaving.is_set():
            return
        leaving.set()
        if self.id is not None and self.registrar is not None:
            content = {"id": self.id}
            self.session.send(self.registrar, "unregistration_request", content=content)
        super()._signal_stop(sig, frame)


if __name__ == "__main__":
    ContextEngine.launch_instance()
