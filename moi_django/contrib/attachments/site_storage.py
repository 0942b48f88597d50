"""Where this site keeps the files of its jobs, and what the reconciler deletes there."""

import hmac
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from moi_django.cluster.payloads import payload_keys
from moi_django.conf import conf
from moi_django.contrib.attachments.storage import AttachmentStorage
from moi_django.site_store import get_store

logger = logging.getLogger(__name__)

# Seconds between two searches for files whose jobs are gone, and for those Redis knows nothing of.
ORPHANED_FILES_INTERVAL, UNKNOWN_FILES_INTERVAL = 60.0, 600.0


def get_attachment_storage() -> AttachmentStorage:
    """Return where the files of jobs are kept."""
    kept = AttachmentStorage(conf.file_storage, conf.FILE_LIMIT)
    if conf.is_isolated or all(map(_is_here, conf.CONTEXTS.values())):
        return kept
    return replace(kept, site_id=kept.make_id(), key=file_keys()[0])


def _is_here(context: dict[str, Any]) -> bool:
    """Tell whether all engines of a context are on this host, for all that the settings say."""
    is_plain = context in ({}, {"BACKEND": "ipyparallel"}, {"BACKEND": "immediate"})
    return is_plain or context.get("LAUNCHER") == "local"


def file_keys() -> tuple[bytes, ...]:
    """Return with which engines may have signed what they send; the first is the present one."""
    return tuple(hmac.digest(key, b"files", "sha256") for key in payload_keys())


class FileDeletion:
    """Deletes files whose jobs are gone; `say` takes a line for what it has done."""

    def __init__(self, say: Callable[[str], object] = logger.info) -> None:
        self._say = say
        self._deletes_orphaned_at = self._deletes_unknown_at = 0.0

    def delete_due(self) -> None:
        """Delete what is to be deleted now. Raises StoreUnavailable."""
        if time.monotonic() < self._deletes_orphaned_at:
            return
        self._deletes_orphaned_at = time.monotonic() + ORPHANED_FILES_INTERVAL
        storage, removed, unknown = get_attachment_storage(), 0, 0
        try:
            removed = storage.delete_orphaned(get_store())
            if conf.STRAY_FILES_AGE and time.monotonic() >= self._deletes_unknown_at:
                self._deletes_unknown_at = time.monotonic() + UNKNOWN_FILES_INTERVAL
                unknown = storage.delete_unknown(get_store(), conf.STRAY_FILES_AGE)
        except OSError as error:
            logger.warning("Cannot delete files: %s", error)
        for jobs, kind in ((removed, "removed"), (unknown, "unknown")):
            if jobs:
                self._say(f"the files of {jobs} {kind} jobs were deleted")
