"""Run what a site with moi needs on one machine: Redis, a cluster, the web server.

What the settings name already is used and not started. Everything that is started ends with this
process, however that ends: children ask the kernel for a signal at their parent's death, and what
jobs have started is swept up on the way out, or by a process that outlives this one.
"""

import asyncio
import json
import os
import signal
import socket
import sys
import sysconfig
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from itertools import takewhile
from pathlib import Path
from typing import Any

import redis.asyncio
from django.conf import settings
from django.urls import get_script_prefix
from redis.exceptions import RedisError

from moi_django.bridge.async_redis import cancel_tasks
from moi_django.cluster.reconciler import Reconciler
from moi_django.conf import DEFAULT_CONTEXT, conf
from moi_django.contrib.command_line.text_report import escape_terminal
from moi_django.contrib.events.reader import running_readers
from moi_django.contrib.health.heartbeat import ReconcilerHeartbeat
from moi_django.contrib.schedules.runner import ScheduleRunner
from moi_django.contrib.services import parent_death
from moi_django.contrib.services.embedded_redis import EmbeddedRedis, remove_stale
from moi_django.contrib.services.listening import bind_socket, describe_move, socket_address
from moi_django.contrib.services.local_cluster import (
    connection_file,
    make_local_cluster,
    start_cluster,
)
from moi_django.contrib.services.orphan_reaper import OrphanReaper
from moi_django.contrib.services.service_state import lock_state_dir, write_services
from moi_django.engine.calls import PRIVATE_VARIABLES
from moi_django.exceptions import MoiError, ServiceError
from moi_django.models import Info
from moi_django.state_dir import RunningServices
from moi_django.store import Store, StoreConfig
from moi_django.store.connection import CONNECTION_OPTIONS, without_secret
from moi_django.validation import is_id

# Seconds for the web server to answer, and for it to end when asked to.
READY_WITHIN, STOPPED_WITHIN = 30.0, 5.0
# Seconds between two counts of the engines, and for a new one to be counted.
BETWEEN_COUNTS, REGISTERED_WITHIN = 0.5, 15.0
# How many jobs are remembered with the status that was announced last.
REMEMBERED = 10_000
# prctl(2): orphans of our children become our children, so they can be found.
PR_SET_CHILD_SUBREAPER = 36


def run_services(
    bind: str | None,
    engines: int | None = None,
    server: bool = True,
    say: Callable[[str], object] = print,
) -> int:
    """Start what is missing, say what happens, stop all of it at SIGINT, SIGTERM or SIGHUP.

    `bind` is HOST:PORT, port 0 for a free one, None for the usual one or the next that is free;
    `engines` defaults to the number of CPUs; `say` takes a line for each event. Returns the exit
    code. Raises ServiceError when something cannot be started.
    """
    _refuse_on_an_engine()
    with (
        bind_socket(bind) if server else nullcontext() as listening,
        lock_state_dir(conf.state_dir),
        OrphanReaper(conf.state_dir, _python_path()) as reaper,
    ):
        _adopt_orphans()
        if listening and bind is None and (moved := describe_move(listening)):
            say(moved)
        return asyncio.run(
            _Supervisor(listening, engines or os.cpu_count() or 1, say, reaper).run()
        )


class _Supervisor:
    """One run of `moi up`."""

    def __init__(
        self,
        listening: socket.socket | None,
        engines: int,
        say: Callable[[str], object],
        reaper: OrphanReaper,
    ) -> None:
        self._listening, self._engines, self._say_line = listening, engines, say
        self._reaper = reaper
        self._stop = asyncio.Event()
        self._failed = ""
        self._env: dict[str, str] = {}

    async def run(self) -> int:
        """Start, wait, stop; return the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._stop.set)
        async with AsyncExitStack() as running:
            starting = asyncio.create_task(self._start(running))
            await self._unless_stopped(starting)
            if starting.done() and not starting.cancelled():
                services = starting.result()
                self._reaper.note_sessions()
                write_services(conf.state_dir, services)
                self._announce_ready(services)
                await self._serve_until_stopped(services.redis_url)
            self._announce("stopping")
        if self._failed:
            raise ServiceError(self._failed)
        self._announce("stopped")
        return 0

    async def _unless_stopped(self, task: asyncio.Task[RunningServices]) -> None:
        """Wait for a task, and give it up when the user does."""
        stopped = asyncio.create_task(self._stop.wait())
        await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
        stopped.cancel()

    async def _start(self, running: AsyncExitStack) -> RunningServices:
        url = await running.enter_async_context(self._redis())
        self._env = self._environment(url)
        file = None
        # The two slow ones at once.
        if self._needs_cluster():
            file = connection_file(conf.state_dir / "profile")
            self._env["MOI_CONNECTION_FILE"] = str(file)
        starting = [self._cluster()] if file else []
        if self._listening is not None:
            starting.append(self._server(self._listening))
        entered = await asyncio.gather(
            *(running.enter_async_context(each) for each in starting), return_exceptions=True
        )
        for outcome in entered:
            if isinstance(outcome, BaseException):
                raise outcome
        site = _site_url(self._listening) if self._listening else None
        return RunningServices(redis_url=url, connection_file=str(file) if file else None, url=site)

    def _needs_cluster(self) -> bool:
        given = conf.CONTEXTS.get(DEFAULT_CONTEXT)
        return (
            given in (None, {}, {"BACKEND": "ipyparallel"})
            and "MOI_CONNECTION_FILE" not in os.environ
        )

    def _environment(self, redis_url: str) -> dict[str, str]:
        """Return what children need to know; secrets go this way and not on command lines."""
        return {
            "DJANGO_SETTINGS_MODULE": os.environ.get("DJANGO_SETTINGS_MODULE", ""),
            "PYTHONPATH": _python_path(),
            "MOI_REDIS_URL": redis_url,
        }

    @asynccontextmanager
    async def _redis(self) -> AsyncIterator[str]:
        if url := conf.configured_redis_url:
            self._announce(f"redis    the one at {without_secret(url)}")
            yield url
            return
        remove_stale()
        # Started in this thread: it ends with the thread that starts it.
        with EmbeddedRedis() as server:
            self._announce(f"redis    {server.version()}")
            watching = asyncio.create_task(self._watch_redis(server))
            yield server.url
            watching.cancel()

    async def _watch_redis(self, server: EmbeddedRedis) -> None:
        await asyncio.to_thread(server.wait)
        self._fail("Redis ended by itself.")

    @asynccontextmanager
    async def _cluster(self) -> AsyncIterator[None]:
        directory = conf.state_dir / "profile"
        directory.mkdir(mode=0o700, exist_ok=True)
        connection_file(directory).unlink(missing_ok=True)
        # Jobs that submit others find Redis as other commands do: in the private directory.
        env = {name: value for name, value in self._env.items() if name not in PRIVATE_VARIABLES}
        cluster = make_local_cluster(self._engines, directory, env)
        try:
            client = await start_cluster(cluster)
            self._announce(f"cluster  {self._engines} engine{'s' * (self._engines != 1)}")
            cluster.controller.on_stop(lambda data: self._fail("The cluster's controller ended."))
            replacing = asyncio.create_task(self._replace_engines(cluster, client))
            yield
            await cancel_tasks(replacing)
            client.close()
        finally:
            await cluster.stop_cluster()

    async def _replace_engines(self, cluster: Any, client: Any) -> None:
        """Start an engine for each that has died."""
        expected_from = 0.0
        while True:
            await asyncio.sleep(BETWEEN_COUNTS)
            missing = self._engines - len(client.ids)
            if missing > 0 and time.monotonic() > expected_from:
                self._announce(
                    f"cluster  {missing} engine{'s' * (missing != 1)} died, starting anew"
                )
                await cluster.start_engines(missing)
                self._reaper.note_sessions()
                expected_from = time.monotonic() + REGISTERED_WITHIN

    @asynccontextmanager
    async def _server(self, listening: socket.socket) -> AsyncIterator[None]:
        number = listening.fileno()
        arguments = ["-m", "moi_django.contrib.services.web_server", str(number), _application()]
        process = await asyncio.create_subprocess_exec(
            *parent_death.with_parent_death_signal([sys.executable, *arguments]),
            env={**os.environ, **self._env},
            pass_fds=[number],
            stdin=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            await self._wait_until_ready(process, listening)
            self._announce(f"server   {_application()} on {socket_address(listening)}")
            watching = asyncio.create_task(self._watch_process(process))
            yield
            watching.cancel()
        finally:
            await _end_process(process)

    async def _wait_until_ready(
        self, process: asyncio.subprocess.Process, listening: socket.socket
    ) -> None:
        host, port = listening.getsockname()[:2]
        deadline = time.monotonic() + READY_WITHIN
        while time.monotonic() < deadline and process.returncode is None:
            try:
                _, writer = await asyncio.open_connection(host, port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return
        raise ServiceError(
            f"The web server did not start on {socket_address(listening)}: see what it says above"
        )

    async def _watch_process(self, process: asyncio.subprocess.Process) -> None:
        code = await process.wait()
        self._fail(f"The web server ended by itself with code {code}.")

    def _fail(self, reason: str) -> None:
        if not self._stop.is_set():
            self._failed = reason
            self._stop.set()

    async def _serve_until_stopped(self, url: str) -> None:
        """Say what happens to jobs until it is time to stop."""
        following = asyncio.create_task(self._follow_jobs(url))
        stopped = asyncio.create_task(self._stop.wait())
        enough = threading.Event()
        reconciler = Reconciler(
            self._say, [ScheduleRunner(self._say).run_due, ReconcilerHeartbeat().beat]
        )
        reconciling = asyncio.create_task(asyncio.to_thread(_look_after_jobs, reconciler, enough))
        await asyncio.wait({following, stopped, reconciling}, return_when=asyncio.FIRST_COMPLETED)
        enough.set()
        await cancel_tasks(following)
        await reconciling
        if not following.cancelled():
            following.result()

    def _say(self, text: str) -> None:
        self._announce(f"moi      {text}")

    async def _follow_jobs(self, url: str) -> None:
        """Tell of jobs, whatever becomes of the connection."""
        store = Store(StoreConfig(url, conf.KEY_PREFIX, conf.EXPIRE))
        told: dict[str, str] = {}
        while True:
            try:
                await self._read_job_changes(store, told)
            except (RedisError, MoiError, OSError) as error:
                self._announce(f"redis    does not answer: {error}")
                await asyncio.sleep(1)

    async def _read_job_changes(self, store: Store, told: dict[str, str]) -> None:
        client = redis.asyncio.Redis.from_url(store.config.url, **CONNECTION_OPTIONS)
        async with client, client.pubsub() as heard:
            await heard.psubscribe(store.keys.channel("*"))
            while True:
                message = await heard.get_message(timeout=1.0)
                if message is not None and message["type"] == "pmessage":
                    for info in await asyncio.to_thread(
                        store.jobs.get_many, _message_ids(message["data"])
                    ):
                        self._announce_job(info, told)

    def _announce_job(self, info: Info | None, told: dict[str, str]) -> None:
        """Print a job whose status is news."""
        if info is None or info.is_group or told.get(info.id) == info.status:
            return
        told.pop(info.id, None)
        told[info.id] = info.status
        if len(told) > REMEMBERED:
            del told[next(iter(told))]
        self._announce(
            f"job      {info.id}  {_short_line(info.name, 40)}: {_short_line(info.status, 60)}"
        )

    def _announce_ready(self, services: RunningServices) -> None:
        if services.url:
            self._announce(f"ready    {services.url}   (Ctrl-C stops everything)")
        else:
            self._announce("ready    (Ctrl-C stops everything)")

    def _announce(self, text: str) -> None:
        self._say_line(f"{time.strftime('%H:%M:%S')} {text}")


def _look_after_jobs(reconciler: Reconciler, enough: threading.Event) -> None:
    with running_readers():
        reconciler.run_until(enough)


def _message_ids(data: bytes) -> list[str]:
    try:
        verbs = json.loads(data)
        lists = [ids for ids in verbs.values() if isinstance(ids, list)]
        return [id for ids in lists for id in ids if is_id(id)]
    except (ValueError, AttributeError, RecursionError):
        return []  # somebody else's message; the bridge is who warns of it


def _short_line(text: str, length: int) -> str:
    """Return a text as one short line that cannot steer a terminal."""
    clean = escape_terminal(text)
    return clean if len(clean) <= length else clean[: length - 1] + "…"


def _python_path() -> str:
    """Return where children find the modules that this process finds besides what is installed."""
    installed = Path(sysconfig.get_path("stdlib")).parent
    found = takewhile(lambda entry: Path(entry).parent != installed, sys.path)
    return os.pathsep.join(dict.fromkeys(os.path.abspath(entry or ".") for entry in found))  # noqa: PTH100


def _application() -> str:
    """Return the application to serve."""
    return getattr(settings, "ASGI_APPLICATION", None) or "moi_django.asgi.application"


def _site_url(listening: socket.socket) -> str:
    return f"http://{socket_address(listening)}{get_script_prefix()}"


async def _end_process(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOPPED_WITHIN)
    except TimeoutError:
        process.kill()
        await process.wait()


def _refuse_on_an_engine() -> None:
    """Stop a function shipped from a module that starts services: engines would breed clusters."""
    engine = sys.modules.get("ipyparallel.engine.app")
    if engine is not None and engine.IPEngine.initialized():
        raise ServiceError("`moi up` does not run inside of a job: start it from a shell.")


def _adopt_orphans() -> None:
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
