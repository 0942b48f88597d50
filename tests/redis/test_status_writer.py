"""What several threads of an engine write of one job: none of it is lost."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from moi_django import Group
from moi_django.engine.current import ProgressUpdate
from moi_django.engine.status_writer import StatusWriter
from moi_django.models import State
from tests.helpers.records import job_in

pytestmark = pytest.mark.django_db


def test_each_file_counts_also_while_progress_is_written(store):
    info = job_in(store, Group.of("ada"), state=State.RUNNING, attempt=1)
    writer, rounds = StatusWriter(store, info, status_limit=100), 300
    with ThreadPoolExecutor(4) as pool:
        for number in range(rounds):
            writes = [
                pool.submit(writer.write_progress, ProgressUpdate(None, 3 * number + part, None))
                for part in range(3)
            ]
            writes.append(pool.submit(writer.write_attached))
            for each in writes:
                each.result()
            # Whoever was the last to return, what is known is what was written last.
            assert writer.info == store.jobs.get(info.id)
    assert writer.info.attached == rounds
