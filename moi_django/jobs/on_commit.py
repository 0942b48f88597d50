"""Put off what is to be done when the open database transactions commit."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

from django.db import connections, transaction

from moi_django.conf import conf
from moi_django.engine.current import current_job


def defer_to_commit(callback: Callable[[], object]) -> Collection[str]:
    """Do something when all open transactions have committed; return those that have not yet.

    It is not done when one of them is rolled back. With MOI["ON_COMMIT"] off nothing is put off.
    """
    databases = _with_transactions() if conf.ON_COMMIT else set()
    pending = set(databases)

    def noting_commit(database: str) -> Callable[[], None]:
        def create_jobs() -> None:  # Django logs this name, should it fail
            pending.discard(database)
            if not pending:
                callback()

        return create_jobs

    for database in databases:
        # robust: what the commit does besides is not held up by a Redis that is away.
        transaction.on_commit(noting_commit(database), database, robust=True)
    return pending


def create_or_defer(handles: Sequence[Any], create: Callable[[], Any]) -> Any:
    """Create jobs now and return what `create` does; None when handles await a commit."""
    pending = defer_to_commit(create)
    for handle in handles:
        handle._awaits_commit = pending
    return None if pending else create()


def _with_transactions() -> set[str]:
    """Return the databases with an open transaction.

    Those in which only a TestCase of Django has one, which commits none, count when there are no
    others, and not in a job; then the first does, whose callbacks a test can capture.
    """
    opened = [each for each in connections.all(initialized_only=True) if each.in_atomic_block]
    own = {each.alias for each in opened if not all(map(_is_of_test, each.atomic_blocks))}
    return own if own or current_job() else {each.alias for each in opened[:1]}


def _is_of_test(block: Any) -> bool:
    return bool(block._from_testcase)
