"""A process of `moi up` that runs code of the project, and is started anew when that changes."""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from moi_django.contrib.services import parent_death

# Seconds to end when asked to.
STOPPED_WITHIN = 5.0


async def run_python(arguments: Sequence[str], env: Mapping[str, str], within: float) -> int:
    """Run Python with some arguments and return its exit code; it is killed after some seconds."""
    process = await asyncio.create_subprocess_exec(
        *parent_death.with_parent_death_signal([sys.executable, *arguments]),
        env={**os.environ, **env},
        stdin=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return await asyncio.wait_for(process.wait(), within)
    except TimeoutError:
        process.kill()
        return await process.wait()


class CodeProcess:
    """Python with some arguments; `on_end` gets the exit code when it ends by itself.

    It reads from its stdin the paths of files that have changed and for which it need not be
    started anew. `hear` gets each line that it writes; without it, stdout is that of this process.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        env: Mapping[str, str],
        on_end: Callable[[int], object],
        *,
        pass_fds: Sequence[int] = (),
        hear: Callable[[str], object] | None = None,
    ) -> None:
        self._arguments, self._env, self._on_end = arguments, env, on_end
        self._pass_fds, self._hear = pass_fds, hear
        self._process: asyncio.subprocess.Process | None = None
        self._watching: set[asyncio.Task[None]] = set()

    @property
    def has_ended(self) -> bool:
        """True while it does not run."""
        return self._process is None or self._process.returncode is not None

    async def start(self) -> None:
        """Start it; `watch` lets its end be told."""
        self._process = await asyncio.create_subprocess_exec(
            *parent_death.with_parent_death_signal([sys.executable, *self._arguments]),
            env={**os.environ, **self._env},
            pass_fds=self._pass_fds,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE if self._hear else None,
            start_new_session=True,
        )
        if self._hear:
            self._do(self._read(self._process, self._hear))

    def watch(self) -> None:
        """Tell of its end from now on."""
        if self._process is not None:
            self._do(self._wait(self._process))

    async def restart(self) -> None:
        """Start it anew, also when it has ended."""
        await self.stop()
        await self.start()
        self.watch()

    async def stop(self) -> None:
        """End it."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOPPED_WITHIN)
        except TimeoutError:
            process.kill()
            await process.wait()
        await asyncio.gather(*self._watching)

    def tell_changed(self, paths: Iterable[Path]) -> None:
        """Tell it that files have changed which it may have read."""
        if not self.has_ended and self._process and self._process.stdin:
            self._process.stdin.writelines(os.fsencode(path) + b"\n" for path in paths)

    def _do(self, what: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(what)
        self._watching.add(task)
        task.add_done_callback(self._watching.discard)

    async def _wait(self, process: asyncio.subprocess.Process) -> None:
        code = await process.wait()
        if process is self._process:  # it was not told to end
            self._on_end(code)

    async def _read(
        self, process: asyncio.subprocess.Process, hear: Callable[[str], object]
    ) -> None:
        assert process.stdout is not None  # noqa: S101 - it was asked for
        async for line in process.stdout:
            hear(line.decode(errors="replace").rstrip("\n"))
