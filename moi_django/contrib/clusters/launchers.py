"""Start engines as processes of this host or of others, or as batch jobs.

ipyparallel's own launchers know what they have started only while their program runs, believe that
it still does, and start sets that go as a whole; these keep nothing, and ask.
"""

import hashlib
import shlex
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from moi_django.contrib.clusters.batch_scripts import ScriptRequest
from moi_django.contrib.clusters.batch_systems import SYSTEMS
from moi_django.contrib.clusters.context_settings import ContextSettings
from moi_django.contrib.clusters.host_processes import old_logs, read_end
from moi_django.contrib.clusters.shell import ask_host, engine_environment, public_environment
from moi_django.contrib.clusters.slots import HOST, SLOT, Launcher, Slot, SlotListing, SlotState
from moi_django.exceptions import ServiceError

ENGINE = "moi_django.contrib.clusters.engine"
# Indices of one array; more are refused by many sites.
ARRAY_LIMIT = 1000
# Lets a host that is off be known as such, while the others wait; an option of the site goes first.
CONNECT_TIMEOUT = ("-o", "ConnectTimeout=10")
MPI_PROGRAMS = ("mpiexec", "mpirun", "orterun", "mpiexec.hydra")
# What each rank runs: the engine, which learns its rank and to whose world it belongs.
RANK_SCRIPT = f'export {SLOT}="${{OMPI_COMM_WORLD_RANK:-${{PMI_RANK:-0}}}}/$0@localhost"; exec "$@"'


def make_launcher(
    context: ContextSettings, engine_file: Path, arguments: Sequence[str]
) -> Launcher:
    """Return the launcher of a context, for engines of the controller that has left a file.

    `arguments` are further ones of the engines.
    """
    kind = BatchLauncher if context.is_batch else LAUNCHER_OF[context.launcher]
    return kind(context, engine_file, tuple(arguments))


class BatchLauncher:
    """Engines are the indices of arrays of batch jobs."""

    def __init__(
        self, context: ContextSettings, engine_file: Path, arguments: tuple[str, ...]
    ) -> None:
        self._context, self._engine_file, self._arguments = context, engine_file, arguments
        self._system = SYSTEMS[context.launcher]
        # Those of another project of this user are others.
        project = hashlib.sha256(str(context.directory).encode()).hexdigest()[:6]
        self.job_name = f"moi-{context.name}-{project}"
        self._logs = context.directory / "log"

    def submit(self, count: int) -> list[str]:
        """Submit arrays."""
        self._logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._forget_logs()
        env = public_environment()
        command = [self._context.python, "-m", ENGINE, *self._arguments]
        command.append(f"--profile-dir={self._context.directory / 'engines'}")
        if self._system.keeps_environment:
            env["IPP_CONNECTION_INFO"] = self._engine_file.read_text()
        else:
            command.append(f"--file={self._engine_file}")
        requests = [
            ScriptRequest(
                self._context,
                self.job_name,
                min(ARRAY_LIMIT, count - first),
                self._logs,
                tuple(command),
                tuple(engine_environment().items()),
            )
            for first in range(0, count, ARRAY_LIMIT)
        ]
        return [self._system.submit(request, env) for request in requests]

    def _forget_logs(self) -> None:
        """Remove logs of engines that ended long ago."""
        if (old := old_logs(self._logs, "engine")) and not (listing := self.list_slots()).problems:
            for id in old.keys() - {slot.id for slot in listing.slots}:
                old[id].unlink(missing_ok=True)

    def list_slots(self) -> SlotListing:
        """Ask the batch system; an answer that is none of its own says nothing of engines."""
        try:
            return SlotListing(self._system.list_slots(self.job_name))
        except ServiceError as error:
            return SlotListing([], [str(error)])
        except (ValueError, SyntaxError, LookupError, TypeError) as error:
            text = f"What {self._context.launcher} answers cannot be read: {error}"
            return SlotListing([], [text])

    def cancel(self, slots: list[Slot]) -> None:
        """Drop pending batch jobs."""
        if slots:
            self._system.cancel([slot.id for slot in slots])

    def kill(self, slots: list[Slot]) -> None:
        """End batch jobs."""
        if slots:
            self._system.kill([slot.id for slot in slots])

    def read_log(self, slot: str, lines: int) -> str:
        """Return what is in the file that the script names; PBS names it otherwise."""
        return _read_own(self._logs / f"engine-{slot}.log", lines)


def _read_own(file: Path, lines: int) -> str:
    try:
        return read_end(file, lines)
    except OSError as error:
        raise ServiceError(f"There is no log: {error}.") from error


class ProcessLauncher:
    """Engines are processes, of this host."""

    def __init__(
        self, context: ContextSettings, engine_file: Path, arguments: tuple[str, ...]
    ) -> None:
        self._context, self._engine_file, self._arguments = context, engine_file, arguments

    # How a shell on a host is started, by the name of the host.
    @property
    def _hosts(self) -> Mapping[str, list[str]]:
        return {"localhost": []}

    def _directory(self, host: str) -> str:
        """Return where engines and logs of a host are kept, on that."""
        return str(self._context.directory)

    def _marker(self, host: str) -> str:
        """Return an argument that the engines of a host have, and no other process."""
        return f"--profile-dir={self._directory(host)}/engines"

    def submit(self, count: int) -> list[str]:
        """Start processes where there is room."""
        started = self._on_all(
            lambda host, number: self._start(host, number), self._share_out(count)
        )
        for error in started.values():
            if isinstance(error, ServiceError):
                raise error
        return [f"{pid}@{host}" for host, pids in started.items() for pid in pids]

    def _share_out(self, count: int) -> dict[str, int]:
        return dict.fromkeys(self._hosts, count)

    def _start(self, host: str, count: int) -> Any:
        return self._ask(
            host,
            act="start",
            directory=self._directory(host),
            commands=self._commands(host, count),
            cwd=self._context.working_directory,
            env={
                HOST: host,
                "IPP_CONNECTION_INFO": self._engine_file.read_text(),
            },
        )

    def _commands(self, host: str, count: int) -> list[list[str]]:
        return [self._engine_command(host)] * count

    def _engine_command(self, host: str) -> list[str]:
        return [self._context.python, "-m", ENGINE, self._marker(host), *self._arguments]

    def _on_all(self, do: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
        """Do something on hosts at once; return what came of it, or a ServiceError, by host."""

        def try_it(host: str) -> Any:
            try:
                return do(host, given[host])
            except ServiceError as error:
                return error

        with ThreadPoolExecutor(max(1, len(given))) as threads:
            return dict(zip(given, threads.map(try_it, given), strict=True))

    def _ask(self, host: str, **asked: Any) -> Any:
        """Have something done on a host. Raises ServiceError."""
        context = self._context
        try:
            return ask_host(context.python, self._hosts[host], context.prelude, **asked)
        except ServiceError as error:
            raise ServiceError(f"{host}: {error}") from error

    def list_slots(self) -> SlotListing:
        """Ask the hosts for their processes."""
        found = self._on_all(
            lambda host, _: self._ask(host, act="list", argument=self._marker(host)),
            dict.fromkeys(self._hosts),
        )
        silent = {
            host: str(answer) for host, answer in found.items() if isinstance(answer, ServiceError)
        }
        if len(silent) == len(found):
            return SlotListing([], [*silent.values()])
        slots = [
            slot
            for host in found.keys() - silent.keys()
            for process in found[host]
            for slot in self._slots_of(host, process)
        ]
        return SlotListing(slots, silent=silent)

    def _slots_of(self, host: str, process: dict[str, Any]) -> list[Slot]:
        id = f"{process['pid']}@{host}"
        return [Slot(id, SlotState.RUNNING, "", host, process["age"])]

    def cancel(self, slots: list[Slot]) -> None:
        """Drop none: a process is never pending."""

    def kill(self, slots: list[Slot]) -> None:
        """Kill processes with their sessions."""
        pids: dict[str, list[int]] = {}
        for slot in slots:
            pid, _, host = slot.id.rpartition("/")[2].partition("@")
            pids.setdefault(host, []).append(int(pid))
        asked = self._on_all(
            lambda host, them: self._ask(
                host, act="stop", argument=self._marker(host), pids=them, kill=True
            ),
            pids,
        )
        for error in asked.values():
            if isinstance(error, ServiceError):
                raise error

    def read_log(self, slot: str, lines: int) -> str:
        """Ask the host of the engine for its log."""
        pid, _, host = slot.rpartition("/")[2].partition("@")
        if host not in self._hosts or not pid.isdigit():
            raise ServiceError(f"There is no engine {slot}.")
        return str(
            self._ask(host, act="log", directory=self._directory(host), pid=int(pid), lines=lines)
        )


class SSHLauncher(ProcessLauncher):
    """Engines are processes of other hosts, which get no file of the controller."""

    @property
    def _hosts(self) -> Mapping[str, list[str]]:
        options = [word for line in self._context.options for word in shlex.split(line)]
        return {
            host: ["ssh", "-o", "BatchMode=yes", *options, *CONNECT_TIMEOUT, "--", host]
            for host, _ in self._context.hosts
        }

    def _directory(self, host: str) -> str:
        # Hosts may share their homes.
        project = hashlib.sha256(super()._directory(host).encode()).hexdigest()[:6]
        return f"~/.moi-engines/{self._context.name}-{project}/{host}"

    def _share_out(self, count: int) -> dict[str, int]:
        """Let the host have the next engine that has most room."""
        listing = self.list_slots()
        if listing.problems:
            raise ServiceError(listing.problems[0])
        used = Counter(slot.host for slot in listing.slots)
        room = {
            host: most - used[host]
            for host, most in self._context.hosts
            if host not in listing.silent
        }
        places = sum(left for left in room.values() if left > 0)
        if not places:
            raise ServiceError(
                "; ".join(listing.silent.values())
                or f"HOSTS has no room for more engines until some end that leave: {count} wait."
            )
        given = Counter[str]()
        # Beside hosts that do not answer and engines that leave; the reconciler asks for the rest.
        for _ in range(min(count, places)):
            given[max(room, key=lambda host: room[host] - given[host])] += 1
        return dict(given)


class MPILauncher(ProcessLauncher):
    """Engines are the ranks of a program that mpiexec starts; they begin and end together."""

    def _commands(self, host: str, count: int) -> list[list[str]]:
        options = [word for line in self._context.options for word in shlex.split(line)]
        world = shlex.join(["mpiexec", "-n", str(count), *options, "/bin/sh", "-c", RANK_SCRIPT])
        engine = shlex.join([*self._engine_command(host), f"--file={self._engine_file}"])
        # The process id of mpiexec, which ranks on other hosts do not know.
        return [["/bin/sh", "-c", f'exec {world} "$$" {engine}']]

    def _slots_of(self, host: str, process: dict[str, Any]) -> list[Slot]:
        command = process["command"]
        if Path(command[0]).name not in MPI_PROGRAMS:
            return []
        return [
            Slot(
                f"{rank}/{process['pid']}@{host}",
                SlotState.RUNNING,
                "",
                host,
                process["age"],
            )
            for rank in range(int(command[command.index("-n") + 1]))
        ]


LAUNCHER_OF = {"local": ProcessLauncher, "ssh": SSHLauncher, "mpi": MPILauncher}
