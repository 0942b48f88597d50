"""Let files of engines be taken while a test goes on."""

from collections.abc import Iterator
from contextlib import contextmanager

from moi_django.contrib.attachments.receiver import FileReceiver


@contextmanager
def receiving() -> Iterator[None]:
    """Take files until the block ends."""
    receiver = FileReceiver()
    receiver.start()
    try:
        yield
    finally:
        receiver.stop()
