"""What a job prints and logs on its engine is its output."""

import pytest

from moi_django import submit_nouser, system_call
from moi_django.store.logs import MAX_PIECE
from tests.helpers.processes import wait_for
from tests.site import work

SOON = 30


def text_of(log):
    return "".join(entry.piece.text for entry in log.read_all())


@pytest.fixture
def log(store):
    return store.logs.open("a-job")


@pytest.mark.django_db(transaction=True)
def test_a_job_may_set_up_logging_and_leaves_nothing_of_it(cluster, store):
    # There are two engines, so that each runs it at least twice.
    jobs = [submit_nouser(work.log_as_it_likes, "DEBUG") for _ in range(5)]
    assert len({job.value(SOON) for job in jobs}) == 1
    for job in jobs:
        log = store.logs.open(job.id)
        assert {entry.piece.stream for entry in log.read_all()} == {"stderr"}
        assert text_of(log) == "mine: in detail\nmine: loud\n"


@pytest.mark.django_db(transaction=True)
def test_a_job_speaks_while_it_runs(cluster, store, tmp_path):
    gate = tmp_path / "gate"
    job = submit_nouser(work.speak, str(gate))
    log = store.logs.open(job.id)
    wait_for(lambda: "logged loudly" in text_of(log))
    assert not job.refresh().finished
    gate.touch()
    job.wait(SOON)
    said = dict.fromkeys(("stdout", "stderr", "log"), "")
    for entry in log.read_all():
        said[entry.piece.stream] += entry.piece.text
    assert said["stdout"] == "to stdout\nbytes \ufffd\nfrom a thread\nat the end"
    assert said["stderr"] == "to stderr\n"
    assert [line.split(" ", 2)[2] for line in said["log"].splitlines()] == [
        "INFO lab: logged softly",
        "WARNING lab: logged loudly",
    ]
    job.remove()
    assert log.read_after() == []


@pytest.mark.django_db(transaction=True)
def test_a_shell_command_speaks_while_it_runs(cluster, store, tmp_path):
    gate = tmp_path / "gate"
    command = f"echo one; echo two >&2; while [ ! -e {gate} ]; do sleep 0.01; done; echo three"
    job = submit_nouser(system_call, command)
    log = store.logs.open(job.id)
    wait_for(lambda: "one" in text_of(log) and "two" in text_of(log))
    assert not job.refresh().finished
    gate.touch()
    assert job.value(SOON) == ["one\nthree\n", "two\n", 0]
    assert {entry.piece for entry in log.read_all()} == {
        ("stdout", "one\n"),
        ("stderr", "two\n"),
        ("stdout", "three\n"),
    }


@pytest.mark.django_db(transaction=True)
def test_a_shell_command_speaks_before_its_line_ends(cluster, store, tmp_path):
    gate = tmp_path / "gate"
    command = f"printf '1 %%\\r2 %%'; while [ ! -e {gate} ]; do sleep 0.01; done; echo"
    job = submit_nouser(system_call, command)
    wait_for(lambda: text_of(store.logs.open(job.id)) == "1 %\r2 %")
    gate.touch()
    assert job.value(SOON) == ["1 %\r2 %\n", "", 0]


@pytest.mark.django_db(transaction=True)
def test_a_hundred_thousand_lines_are_kept_in_few_entries(cluster, store, moi):
    moi["LOG_LIMIT"] = 100_000
    job = submit_nouser(work.print_lines, 100_000).wait(SOON)
    log = store.logs.open(job.id)
    assert text_of(log).endswith("\nline 99999\n")
    entries = log.read_after()
    assert len(entries) < 100
    assert sum(len(entry.piece.text) for entry in entries) < 100_000 + MAX_PIECE
    assert entries[0].at > 900_000
