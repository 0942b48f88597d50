"""Write what events give into a database, for the consumers that do."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from django.db import DataError, IntegrityError

Row = TypeVar("Row")
# What is raised of a row that a database cannot hold.
UNFIT = (DataError, IntegrityError, ValueError, OverflowError)


def write_rows(
    write: Callable[[Sequence[Row]], object],
    rows: Sequence[Row],
    refuse: Callable[[Row], object],
) -> int:
    """Write rows, at once or not at all; return how many were written.

    One that this database cannot hold, tried again, would keep all others from being written: it is
    left out, and given to `refuse` while its error is handled. Any other error is raised.
    """
    if not rows:
        return 0
    try:
        write(rows)
    except UNFIT:
        if len(rows) > 1:
            return sum(write_rows(write, [row], refuse) for row in rows)
        refuse(rows[0])
        return 0
    return len(rows)
