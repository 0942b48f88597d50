"""A database that cannot be reached, and says why."""

from typing import Any, NoReturn

from django.core.exceptions import ImproperlyConfigured
from django.db.backends.dummy import base


def _complain(*args: Any, **kwargs: Any) -> NoReturn:
    raise ImproperlyConfigured(
        "The database of these tests is in the memory of their process, where engines cannot reach "
        'it: give DATABASES["default"] a file for live jobs, "TEST": {"NAME": "test.sqlite3"}.'
    )


class DatabaseOperations(base.DatabaseOperations):
    """What a query asks for first."""

    quote_name = _complain


class DatabaseWrapper(base.DatabaseWrapper):
    """The connection to it."""

    ops_class = DatabaseOperations
    ensure_connection = _complain
    _cursor = _complain
    _savepoint = _complain
