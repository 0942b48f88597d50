"""Write what a running job says of itself into its info object, unless it runs no more."""

import logging
from collections.abc import Callable

from moi_django.engine.current import ProgressUpdate
from moi_django.exceptions import JobNotFound, StoreUnavailable
from moi_django.models import Info, State
from moi_django.store import Store
from moi_django.validation import escape_surrogates

logger = logging.getLogger(__name__)


class StatusWriter:
    """The voice of one run of a job."""

    def __init__(self, store: Store, run: Info, status_limit: int) -> None:
        self._store, self._run, self._status_limit = store, run, status_limit

    def status_update(self, status: str) -> str:
        """Show a status text to everyone who watches; return the one before."""
        before = self._change(
            lambda info: info.changed(status=escape_surrogates(str(status))[: self._status_limit])
        )
        return before.status if before else ""

    def write_progress(self, update: ProgressUpdate) -> None:
        """Show how far the job is."""
        self._change(lambda info: info.changed(**update._asdict()))

    def write_attached(self) -> None:
        """Let who watches look again: there is a file more, or another one of its name."""
        self._change(lambda info: info.changed(attached=info.attached + 1))

    def _change(self, change: Callable[[Info], Info]) -> Info | None:
        """Change the info object; return what it was before."""
        before: Info | None = None

        def update(info: Info) -> Info | None:
            nonlocal before
            before = info
            is_ours = info.state is State.RUNNING and info.attempt == self._run.attempt
            return change(info) if is_ours else None

        try:
            self._store.jobs.change(self._run.id, update)
        except StoreUnavailable as error:
            # The work is worth more than what it says of itself.
            logger.warning("Cannot show how a job is doing: %s", error)
        except JobNotFound:
            logger.debug("The job %s was removed while it ran", self._run.id)
        return before
