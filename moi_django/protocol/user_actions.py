"""What pages let be done with jobs: of each user one thing after the other, in threads of its own.

So who acts on many jobs holds up no page, neither another's nor the own.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

from django.db import close_old_connections

from moi_django.conf import conf
from moi_django.protocol.frames import TokenBucket
from moi_django.store.job_batches import GoesOn

# How many users of one server process are served at once.
THREADS = 4


class UserActions:
    """What the pages of one user in one server process have asked for."""

    def __init__(self) -> None:
        self._tokens = TokenBucket(conf.VERBS_PER_SECOND, conf.VERBS_BURST)
        self._turn = asyncio.Lock()

    def admit(self, count: int) -> bool:
        """Count so many actions, as they come in; tell whether they are not too many."""
        return self._tokens.spend(count)

    @property
    def is_acting(self) -> bool:
        """True while something is done or waits for its turn."""
        return self._turn.locked()

    async def run(self, act: Callable[[GoesOn], Any]) -> Any:
        """Do something when all before is done; when cancelled, it is told not to go on."""
        await self._turn.acquire()
        is_over = threading.Event()

        def run() -> Any:
            try:
                return act(lambda: not is_over.is_set())
            finally:
                close_old_connections()

        try:
            threads = _threads(conf.is_isolated)
            acting = asyncio.get_running_loop().run_in_executor(threads, run)
        except BaseException:
            self._turn.release()
            raise
        # Not when this is cancelled: the thread may go on for a moment.
        acting.add_done_callback(lambda _: self._turn.release())
        try:
            return await asyncio.shield(acting)
        finally:
            is_over.set()


@lru_cache(maxsize=2)
def _threads(is_isolated: bool) -> Executor:
    # Those of a test that is isolated are not for the next one, which may be none.
    return conf.make_executor(THREADS, "moi-actions")


_users: WeakKeyDictionary[asyncio.AbstractEventLoop, WeakValueDictionary[str, UserActions]] = (
    WeakKeyDictionary()
)


def get_user_actions(root: str) -> UserActions:
    """Return what the pages of the user with this root group share in the running event loop."""
    users = _users.setdefault(asyncio.get_running_loop(), WeakValueDictionary())
    if (found := users.get(root)) is None:
        found = users[root] = UserActions()
    return found
