"""Run what a site with moi needs on one machine: Redis, a cluster, the web server.

What the settings name already is used and not started. Everything that is started ends with this
process, however that ends: children ask the kernel for a signal at their parent's death, and what
jobs have started is swept up on the way out, or by a process that outlives this one.
"""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext, suppress
from functools import partial
from typing import Any

from django.conf import settings
from django.urls import get_script_prefix

from moi_django.bridge.async_redis import cancel_tasks
from moi_django.conf import conf
from moi_django.contrib.clusters import scaling
from moi_django.contrib.clusters.context_settings import local_contexts, read_context
from moi_django.contrib.reloading import restarts
from moi_django.contrib.services.code_loader import CodeLoader
from moi_django.contrib.services.code_process import CodeProcess
from moi_django.contrib.services.embedded_redis import EmbeddedRedis, forget, remove_stale
from moi_django.contrib.services.job_news import JobNews
from moi_django.contrib.services.listening import bind_socket, describe_move, socket_address
from moi_django.contrib.services.local_cluster import (
    connection_file,
    engine_ids,
    make_local_cluster,
    start_cluster,
)
from moi_django.contrib.services.orphan_reaper import OrphanReaper
from moi_django.contrib.services.python_path import python_path
from moi_django.contrib.services.service_state import (
    RECONCILING,
    lock_state_dir,
    write_services,
)
from moi_django.engine.calls import PRIVATE_VARIABLES
from moi_django.exceptions import MoiError, ServiceError, UsageError
from moi_django.state_dir import RunningServices
from moi_django.store import Store, StoreConfig
from moi_django.store.connection import without_secret

CODE_CHECK = "moi_django.contrib.services.code_check"
# Seconds for the web server to answer.
READY_WITHIN = 30.0
# Where in the private directory its Redis keeps what it holds.
KEPT = "redis"
# Seconds between two counts of the engines, and for a new one to be counted.
BETWEEN_COUNTS, REGISTERED_WITHIN = 0.5, 15.0
# prctl(2): orphans of our children become our children, so they can be found.
PR_SET_CHILD_SUBREAPER = 36


def run_services(
    bind: str | None,
    engines: int | None = None,
    server: bool = True,
    say: Callable[[str], object] = print,
    *,
    reload: bool = True,
    fresh: bool = False,
    checks: bool = True,
) -> int:
    """Start what is missing, say what happens, stop all of it at SIGINT, SIGTERM or SIGHUP.

    `bind` is HOST:PORT, port 0 for a free one, None for the usual one or the next that is free;
    `engines` defaults to the number of CPUs; `say` takes a line for each event. With `reload` what
    runs code of the project is started anew when that changes, and, with `checks`, passes the
    system checks; with `fresh` its Redis forgets what it has kept. Returns the exit code. Raises
    ServiceError when something cannot be started, StoreUnavailable when the Redis that is named
    does not answer.
    """
    _refuse_on_an_engine()
    if conf.is_isolated:  # what it keeps is no business of tests
        raise UsageError(
            "`moi up` does not run in tests: use `live_jobs` of moi_django.test, or set "
            "MOI['TEST_ISOLATION'] = False."
        )
    if fresh and (url := conf.configured_redis_url):
        raise UsageError(f"--fresh is for the Redis of `moi up`, not for {without_secret(url)}.")

    def announce(text: str) -> None:
        say(f"{time.strftime('%H:%M:%S')} {text}")

    check = ["-m", CODE_CHECK, _application(), *(() if checks else ("--skip-checks",))]
    with (
        bind_socket(bind) if server else nullcontext() as listening,
        lock_state_dir(conf.state_dir),
        OrphanReaper(conf.state_dir, python_path()) as reaper,
    ):
        _adopt_orphans()
        if fresh:
            forget(conf.state_dir / KEPT)
        if listening and bind is None and (moved := describe_move(listening)):
            say(moved)
        loader = CodeLoader(announce, check, reload)
        return asyncio.run(
            _Supervisor(listening, engines or os.cpu_count() or 1, announce, reaper, loader).run()
        )


class _Supervisor:
    """One run of `moi up`."""

    def __init__(
        self,
        listening: socket.socket | None,
        engines: int,
        announce: Callable[[str], object],
        reaper: OrphanReaper,
        loader: CodeLoader,
    ) -> None:
        self._listening, self._engines, self._announce = listening, engines, announce
        self._reaper, self._loader = reaper, loader
        # Of the cluster that is its own.
        self._client: Any = None
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
        self._env = self._loader.env = self._environment(url)
        file = None
        # The two slow ones at once.
        if self._needs_cluster():
            file = connection_file(conf.state_dir / "profile")
            self._env["MOI_CONNECTION_FILE"] = str(file)
        starting = [self._cluster()] if file else []
        starting += [self._local_context(name) for name in local_contexts()]
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
        return conf.names_no_cluster and "MOI_CONNECTION_FILE" not in os.environ

    def _environment(self, redis_url: str) -> dict[str, str]:
        """Return what children need to know; secrets go this way and not on command lines."""
        return {
            "DJANGO_SETTINGS_MODULE": os.environ.get("DJANGO_SETTINGS_MODULE", ""),
            "PYTHONPATH": python_path(),
            "MOI_REDIS_URL": redis_url,
        }

    @asynccontextmanager
    async def _redis(self) -> AsyncIterator[str]:
        if url := conf.configured_redis_url:
            # Said before anything is started that would end with it.
            await asyncio.to_thread(_store_at(url).connection.server_time)
            self._announce(f"redis    the one at {without_secret(url)}")
            yield url
            return
        remove_stale()
        # Started in this thread: it ends with the thread that starts it.
        with EmbeddedRedis(conf.state_dir / KEPT) as server:
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
            self._client = client = await start_cluster(cluster)
            self._announce(f"cluster  {self._engines} engine{'s' * (self._engines != 1)}")
            cluster.controller.on_stop(lambda data: self._fail("The cluster's controller ended."))
            replacing = asyncio.create_task(self._replace_engines(cluster, client))
            yield
            await cancel_tasks(replacing)
            client.close()
        finally:
            await cluster.stop_cluster()

    @asynccontextmanager
    async def _local_context(self, name: str) -> AsyncIterator[None]:
        """Run the cluster of a context whose engines are on this host."""
        context = read_context(name)
        try:
            change = await asyncio.to_thread(scaling.start, context)
            engines = len(change.submitted)
            later = f", up to {context.most} as jobs wait" if context.is_elastic else ""
            said = f"{engines} engine{'s' * (engines != 1)} of context {name}{later}"
            self._announce(f"cluster  {said}")
            yield
        finally:
            await asyncio.to_thread(scaling.stop, context, now=True)

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
        number, (ready, told) = listening.fileno(), os.pipe()
        os.set_blocking(ready, False)
        arguments = [str(number), _application(), str(told)]
        process = CodeProcess(
            ["-m", "moi_django.contrib.services.web_server", *arguments],
            self._env,
            partial(self._note_end, "The web server"),
            pass_fds=[number, told],
        )
        await process.start()
        try:
            await self._wait_until_ready(process, ready, listening)
            self._announce(f"server   {_application()} on {socket_address(listening)}")
            process.watch()
            self._loader.processes.append(process)
            yield
        finally:
            await process.stop()
            os.close(ready)
            os.close(told)

    @asynccontextmanager
    async def _reconciler(self) -> AsyncIterator[None]:
        process = CodeProcess(
            ["-m", "django", "moi", "reconcile"],
            self._env,
            partial(self._note_end, "The reconciler"),
            hear=self._repeat,
        )
        await process.restart()
        self._loader.processes.append(process)
        try:
            yield
        finally:
            await process.stop()

    def _repeat(self, line: str) -> None:
        if line != RECONCILING:
            self._announce(f"moi      {line}")

    def _note_end(self, what: str, code: int) -> None:
        """Wait for another change where code may have been wrong, or end the rest."""
        if self._loader.has_loaded and code > 0:
            self._announce(f"reload   {what} ended with code {code}: it starts at the next change")
        else:
            self._fail(f"{what} ended by itself with code {code}.")

    async def _wait_until_ready(
        self, process: CodeProcess, ready: int, listening: socket.socket
    ) -> None:
        deadline = time.monotonic() + READY_WITHIN
        while time.monotonic() < deadline and not process.has_ended:
            with suppress(BlockingIOError):
                if os.read(ready, 1):
                    return
            await asyncio.sleep(0.02)
        raise ServiceError(
            f"The web server did not start on {socket_address(listening)}: see what it says above"
        )

    def _fail(self, reason: str) -> None:
        if not self._stop.is_set():
            self._failed = reason
            self._stop.set()

    async def _serve_until_stopped(self, url: str) -> None:
        """Say what happens to jobs until it is time to stop."""
        following = asyncio.create_task(JobNews(self._announce).follow(url))
        stopped = asyncio.create_task(self._stop.wait())
        if self._client is not None:
            self._loader.ask_engines = partial(self._ask_engines, url)
        async with self._reconciler(), self._loader.watching(self._reaper.note_sessions):
            self._reaper.note_sessions()
            await asyncio.wait({following, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if self._loader.ask_engines:
                # So that what waits goes on waiting, and does not begin in order to be killed.
                with suppress(MoiError):
                    await asyncio.to_thread(self._loader.ask_engines)
        await cancel_tasks(following)
        if not following.cancelled():
            following.result()

    def _ask_engines(self, url: str) -> None:
        restarts.ask(_store_at(url), engine_ids(self._client))

    def _announce_ready(self, services: RunningServices) -> None:
        if services.url:
            self._announce(f"ready    {services.url}   (Ctrl-C stops everything)")
        else:
            self._announce("ready    (Ctrl-C stops everything)")


def _store_at(url: str) -> Store:
    return Store(StoreConfig(url, conf.KEY_PREFIX, conf.EXPIRE))


def _application() -> str:
    """Return the application to serve."""
    return getattr(settings, "ASGI_APPLICATION", None) or "moi_django.asgi.application"


def _site_url(listening: socket.socket) -> str:
    return f"http://{socket_address(listening)}{get_script_prefix()}"


def _refuse_on_an_engine() -> None:
    """Stop a function shipped from a module that starts services: engines would breed clusters."""
    engine = sys.modules.get("ipyparallel.engine.app")
    if engine is not None and engine.IPEngine.initialized():
        raise ServiceError("`moi up` does not run inside of a job: start it from a shell.")


def _adopt_orphans() -> None:
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
