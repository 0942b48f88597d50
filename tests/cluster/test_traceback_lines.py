"""The traceback of a job has the lines of what was sent by value."""

import pytest

from moi_django import submit_nouser

SOON = 30


@pytest.mark.django_db(transaction=True)
def test_a_failed_job_shows_its_lines(cell, cluster):
    trace = submit_nouser(cell).wait(SOON).result
    assert trace.splitlines()[1:3] == [
        '  File "<cell 7>", line 11, in outer',
        "    return [inner(number) for number in (1, 0)]",
    ]
