"""What programs and processes of a job print is the job's, and nothing stays open."""

import pytest

from moi_django import submit_nouser
from tests.site import work

SOON = 30


def said_by(store, job):
    said = {"stdout": "", "stderr": "", "log": ""}
    for entry in store.logs.open(job.id).read_all():
        said[entry.piece.stream] += entry.piece.text
    return said


@pytest.mark.django_db(transaction=True)
def test_programs_and_processes_of_a_job_speak(cluster, store):
    job = submit_nouser(work.speak_by_others)
    job.value(SOON)
    said = said_by(store, job)
    assert said["stdout"].splitlines() == [
        *("python", "echo", "python again", "echo to stdout", "descriptor", "fork", "spawn"),
        "python at last",
    ]
    assert "echo to stderr\n" in said["stderr"] and "logged by a fork" in said["stderr"]


@pytest.mark.django_db(transaction=True)
def test_fifty_jobs_leave_nothing_open(cluster):
    jobs = [submit_nouser(work.count_descriptors) for _ in range(50)]
    of_each = {}
    for job in jobs:
        pid, *sizes = job.value(SOON)
        of_each.setdefault(pid, []).append(sizes)
    for sizes in of_each.values():
        for first, last in zip(min(sizes), sizes[-1], strict=True):
            assert last - first < 10
