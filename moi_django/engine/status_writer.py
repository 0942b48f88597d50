"""Write what a running job says of itself into its info object, unless it runs no more."""

import logging
import threading
from collections.abc import Callable

from moi_django.engine.current import ProgressUpdate
from moi_django.exceptions import JobNotFound, StoreUnavailable
from moi_django.models import Info, State, about
from moi_django.store import Store
from moi_django.validation import escape_surrogates

logger = logging.getLogger(__name__)


class StatusWriter:
    """The voice of one attempt at a job."""

    def __init__(self, store: Store, info: Info, status_limit: int) -> None:
        self._store, self._status_limit = store, status_limit
        # As it is in the store, as far as is known: never older than what was written here, or a
        # second file might be taken for the first one, written twice.
        self.info = info
        self._noting = threading.Lock()

    def write_status(self, status: str) -> None:
        """Show a status text to everyone who watches."""
        text = escape_surrogates(status)[: self._status_limit]
        self._change(lambda info: info.changed(status=text))

    def write_progress(self, update: ProgressUpdate) -> None:
        """Show how far the job is."""
        self._change(lambda info: info.changed(**update._asdict()))

    def write_attached(self) -> bool:
        """Let who watches look again: there is a file more, or another one of its name.

        Tells whether the job is still there.
        """
        return self._change(lambda info: info.changed(attached=info.attached + 1))

    def _change(self, change: Callable[[Info], Info]) -> bool:
        attempt = self.info.attempt

        def update(info: Info) -> Info | None:
            is_ours = info.state is State.RUNNING and info.attempt == attempt
            return change(info) if is_ours else None

        try:
            self._note(self._store.jobs.change(self.info.id, update, known=self.info))
        except StoreUnavailable as error:
            # The work is worth more than what it says of itself.
            logger.warning("Cannot show how a job is doing: %s", error, extra=about(self.info))
        except JobNotFound:
            logger.debug("Job %s was removed while it ran", self.info.id, extra=about(self.info))
            return False
        return True

    def _note(self, info: Info) -> None:
        with self._noting:
            if info.version > self.info.version:
                self.info = info
