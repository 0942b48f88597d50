"""Jobs that wait for other jobs never wait for what cannot come."""

import pytest

from moi_django import Group, Job, Options, ctx_default, submit, submit_nouser
from moi_django.models import State
from tests.helpers.processes import wait_for
from tests.site import work

pytestmark = pytest.mark.django_db(transaction=True)
SOON = 60


@pytest.fixture
def other(moi, engine, tmp_path):
    """A second context, which has no cluster."""
    moi["CONTEXTS"]["other"] = {"connection_file": str(tmp_path / "none.json")}


def child_of_ada(state):
    """Return the job `child` once it is in a state."""

    def look():
        found = [job for job in Group.of("ada").jobs() if job.name == "child"]
        return found and found[0].state is state and found[0]

    return wait_for(look, f"a child that is {state}")


def test_one_engine_runs_a_job_its_child_and_its_grandchild(engine, moi):
    pids = submit_nouser(work.descend, moi, 2).value(SOON)
    assert len(set(pids)) == 3


def test_one_engine_runs_a_job_and_those_of_another_context_that_is_its_own_too(
    engine, moi, tmp_path
):
    link = tmp_path / "elsewhere.json"
    link.symlink_to(moi["CONTEXTS"]["default"]["connection_file"])
    moi["CONTEXTS"]["beside"] = {"connection_file": str(link)}
    job = submit_nouser(work.descend_through, moi, ["beside", "default", "beside"])
    assert job.value(SOON) == 3


def test_more_children_than_run_at_once_beside_a_job_all_run(engine, moi, tmp_path):
    path = tmp_path / "ran"
    assert submit_nouser(work.wait_in_threads, moi, str(path), 9).value(SOON)
    assert path.read_text() == "ran\n" * 20


def test_two_engines_run_two_jobs_with_two_children_each(cluster, moi):
    parents = [submit_nouser(work.add_up, moi, [number, 10]) for number in (1, 2)]
    assert [job.value(SOON) for job in parents] == [33, 36]


def test_a_waiting_job_says_for_whom_and_then_what_it_said_before(engine, moi, tmp_path):
    gates = tmp_path / "child", tmp_path / "parent"
    job = submit_nouser(work.wait_for_held, moi, *map(str, gates))
    wait_for(lambda: job.refresh().status == "Waits for child")
    gates[0].touch()
    wait_for(lambda: job.refresh().status == "half way")
    gates[1].touch()
    assert job.value(SOON) == "released"


def test_a_job_that_is_cancelled_while_it_waits_leaves_its_child(engine, moi, tmp_path):
    gate = tmp_path / "gate"
    job = submit_nouser(work.wait_for_held, moi, str(gate), "nowhere")
    child = child_of_ada(State.RUNNING)
    assert job.cancel()
    next_job = submit_nouser(work.triple, 1)
    gate.touch()
    assert next_job.value(SOON) == 3
    assert child.value(SOON) == "released"
    assert job.refresh().state is State.CANCELLED


def test_a_child_that_is_cancelled_fails_the_job_that_waits(engine, moi):
    job = submit_nouser(work.wait_for_held, moi, "nowhere", "nowhere")
    assert child_of_ada(State.RUNNING).cancel()
    assert "JobCancelled: " in job.wait(SOON).result
    assert submit_nouser(work.triple, 1).value(SOON) == 3


def test_a_job_that_takes_too_long_to_wait_has_failed_at_once(engine, moi, tmp_path):
    moi["PRELOAD"] = ("moi_django.jobs.api", "ipyparallel")  # or that alone may take too long
    gate = tmp_path / "gate"
    options = Options(timeout=10)
    job = submit_nouser(work.wait_for_held, moi, str(gate), "nowhere", options=options)
    child = child_of_ada(State.RUNNING)
    assert job.wait(SOON).result.endswith("TimeoutError: the job took longer than its 10 s.")
    assert child.refresh().state is State.RUNNING
    gate.touch()
    assert child.value(SOON) == "released"


def test_a_child_is_run_again_beside_the_job_that_waits(engine, moi, reconciler, tmp_path):
    assert submit_nouser(work.wait_for_retried, moi, str(tmp_path / "runs"), 2).value(SOON) == 3


def test_a_child_whose_wait_timed_out_goes_on(engine, moi, tmp_path):
    gate = tmp_path / "gate"
    parent = submit_nouser(work.give_up, moi, str(gate), 1.0)
    child = Job.get(parent.value(SOON))
    next_job = submit_nouser(work.triple, 1)
    assert child.state is State.RUNNING
    gate.touch()
    assert child.value(SOON) == "released"
    assert next_job.value(SOON) == 3


@pytest.mark.parametrize("timeout", [0, 0.01, 0.1])
def test_a_wait_that_timed_out_may_be_repeated(engine, moi, reconciler, tmp_path, timeout):
    path = str(tmp_path / "runs")
    assert submit_nouser(work.wait_twice, moi, path, 2, timeout).value(SOON) == 3


@pytest.mark.parametrize("is_stubborn", [False, True])
def test_a_job_that_waits_for_another_cluster_can_be_cancelled(engine, moi, other, is_stubborn):
    moi["CANCEL_GRACE"] = 0.5
    job = submit_nouser(work.wait_elsewhere, moi, is_stubborn)
    wait_for(lambda: job.refresh().status == "Waits for child")
    job.cancel()
    assert submit_nouser(work.triple, 1).value(SOON) == 3
    assert child_of_ada(State.QUEUED)


def test_a_job_that_crashes_while_it_waits_does_not_hold_up_its_engine(engine, moi, other):
    job = submit_nouser(work.crash_while_waiting, moi)
    next_job = submit_nouser(work.triple, 1)
    assert "SIGABRT" in job.wait(SOON).result
    assert next_job.value(SOON) == 3


def test_a_job_that_waits_for_another_cluster_goes_on_when_its_child_is_removed(engine, moi, other):
    job = submit(ctx_default, "no-user", "parent", None, work.wait_elsewhere, moi, False)
    wait_for(lambda: job.refresh().status == "Waits for child")
    child_of_ada(State.QUEUED).remove()
    assert job.wait(SOON).result.splitlines()[-1].startswith("moi_django.exceptions.JobNotFound")


def test_what_several_wait_for_is_run_once(engine, moi, tmp_path):
    path = tmp_path / "ran"
    noted = submit_nouser(work.wait_in_threads, moi, str(path), 4).value(SOON)
    assert noted == [["noted"] * 20] * 4
    assert path.read_text() == "ran\n" * 20


def test_jobs_that_wait_leave_nothing_open(engine, moi, tmp_path):
    """Of forty waits; what an engine does besides has a thread and a descriptor now and then."""
    path = str(tmp_path / "ran")
    counts = []
    for _ in range(2):
        submit_nouser(work.wait_in_threads, moi, path, 2).value(SOON)
        counts.append(submit_nouser(work.count_descriptors).value(SOON))
    (_, *before), (_, *after) = counts
    assert all(now < then + 10 for then, now in zip(before, after, strict=True))
