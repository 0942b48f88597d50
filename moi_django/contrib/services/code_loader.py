"""Start what runs code of a project anew when that changes, in `moi up`."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from moi_django.bridge.async_redis import cancel_tasks
from moi_django.contrib.command_line.text_report import escape_terminal
from moi_django.contrib.reloading.watcher import Changes, CodeWatcher, describe
from moi_django.contrib.services.code_process import CodeProcess, run_python
from moi_django.exceptions import MoiError

OWN_ENGINES = "jobs that begin now run the new code"
OTHER_ENGINES = "for engines there is `moi engines restart`"
FAILED = "cannot be loaded: the site and its engines stay as they are until the next change"
# Seconds to try it; what never ends, such as a loop in a module, would keep all changes waiting.
LOADED_WITHIN = 30.0


class CodeLoader:
    """Has the `processes` and the engines of one `moi up` load code again.

    Unless it is not to `reload`. `check` is Python that fails where code cannot be loaded.
    `ask_engines` lets engines load it, if it has its own; `announce` takes a line.
    """

    def __init__(
        self, announce: Callable[[str], object], check: Sequence[str], reload: bool
    ) -> None:
        self._announce, self._check = announce, check
        # From now on a change is noticed, as of who is started next.
        self._watcher = CodeWatcher() if reload else None
        self.processes: list[CodeProcess] = []
        self.ask_engines: Callable[[], object] | None = None
        # What is added to the environment where code is tried.
        self.env: dict[str, str] = {}
        # True once code has changed: it may be wrong now, and is looked at by who has changed it.
        self.has_loaded = False

    @asynccontextmanager
    async def watching(self, note_started: Callable[[], object]) -> AsyncIterator[None]:
        """Do so until the block ends; `note_started` is called when something was started."""
        if self._watcher is None:
            yield
            return
        changed, enough = asyncio.Queue[Changes](), threading.Event()
        loop = asyncio.get_running_loop()

        def tell(changes: Changes) -> None:
            loop.call_soon_threadsafe(changed.put_nowait, changes)

        watching = asyncio.create_task(asyncio.to_thread(self._watcher.run, tell, enough))
        loading = asyncio.create_task(self._load(changed, note_started))
        try:
            yield
        finally:
            enough.set()
            await cancel_tasks(loading)
            await watching

    async def _load(
        self, changed: "asyncio.Queue[Changes]", note_started: Callable[[], object]
    ) -> None:
        while True:
            changes = await changed.get()
            for process in self.processes:
                process.tell_changed(changes.other)
            if changes.code:
                await self._load_code(escape_terminal(describe(changes.code)))
                note_started()

    async def _load_code(self, what: str) -> None:
        # What cannot be loaded would end the site, and each job that begins.
        if await run_python(self._check, self.env, LOADED_WITHIN) != 0:
            self._announce(f"reload   {what} changed and {FAILED}")
            return
        self.has_loaded = True
        how = OWN_ENGINES if self.ask_engines else OTHER_ENGINES
        self._announce(f"reload   {what} changed: the site starts anew, {how}")
        await self._ask()
        await asyncio.gather(*(process.restart() for process in self.processes))

    async def _ask(self) -> None:
        if self.ask_engines is not None:
            try:
                await asyncio.to_thread(self.ask_engines)
            except MoiError as error:
                self._announce(f"reload   engines could not be asked to load it: {error}")
