"""Put off what is to be done when a database transaction commits."""

from collections.abc import Callable

from django.db import connections, transaction

from moi_django.conf import conf


def defer_to_commit(callback: Callable[[], None]) -> bool:
    """Do something when the open transaction commits; tell whether there is one to wait for.

    It is not done when that is rolled back. With MOI["ON_COMMIT"] off nothing is put off.
    """
    using = _open_transaction() if conf.ON_COMMIT else None
    if using is None:
        return False
    # robust: what the commit does besides is not held up by a Redis that is away.
    transaction.on_commit(callback, using, robust=True)
    return True


def _open_transaction() -> str | None:
    """Return the alias of a database with an open transaction, the default one first."""
    for connection in connections.all(initialized_only=True):
        if connection.in_atomic_block:
            return connection.alias
    return None
