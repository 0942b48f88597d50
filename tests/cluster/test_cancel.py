"""A job is stopped: it never starts, or is interrupted on its engine, and nothing else is."""

import psutil
import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model

from moi_django import Group, ctx_default, submit, submit_nouser
from moi_django.exceptions import InvalidJob, JobNotFound
from moi_django.models import State
from tests.helpers.held_job import Held
from tests.helpers.processes import manage
from tests.helpers.records import finish, job_in
from tests.helpers.redis_keys import keys
from tests.helpers.websocket import connected, hear, say
from tests.site import work

pytestmark = pytest.mark.django_db(transaction=True)
SOON = 30


def test_a_queued_job_never_runs(cluster, tmp_path, store):
    busy = [Held(tmp_path, f"busy{number}") for number in range(2)]
    assert all(held.pid for held in busy)
    noted = tmp_path / "noted"
    job = submit_nouser(work.note, str(noted))
    assert job.cancel() is True
    assert (job.state, job.status) == (State.CANCELLED, "Cancelled")
    assert job.info.date_end and job.finished
    for held in busy:
        held.gate.touch()
        held.job.wait(SOON)
    # Behind it in the queue.
    assert submit_nouser(work.triple, 1).value(SOON) == 3
    assert job.refresh().state is State.CANCELLED
    assert not noted.exists()


def test_a_running_job_is_interrupted_and_its_neighbour_is_not(cluster, tmp_path):
    one, other = Held(tmp_path, "one"), Held(tmp_path, "other")
    assert one.pid != other.pid
    assert one.job.cancel() is True
    assert one.ending() == "interrupted"
    assert one.job.refresh().state is State.CANCELLED
    # The engine is there for the next.
    assert submit_nouser(work.triple, 1).wait(SOON).info.engine == one.job.info.engine
    other.gate.touch()
    assert other.job.value(SOON) == "released"
    assert other.ending() == "done"
    assert one.job.refresh().state is State.CANCELLED


def test_a_finished_job_stays_what_it_is(cluster):
    job = submit_nouser(work.triple, 1).wait(SOON)
    assert job.cancel() is False
    assert (job.state, job.result) == (State.SUCCESS, 3)
    job.remove()
    with pytest.raises(JobNotFound):
        job.cancel()


def test_a_job_that_awaits_a_commit_says_so(cluster):
    from django.db import transaction

    with transaction.atomic():
        job = submit_nouser(work.triple, 1)
        with pytest.raises(InvalidJob, match="cancel it after"):
            job.cancel()
    assert job.value(SOON) == 3


def test_a_stubborn_job_is_killed_and_its_engine_takes_the_next(own_cluster, tmp_path, moi):
    moi["CANCEL_GRACE"] = 0.5
    own_cluster(1)
    held = Held(tmp_path, "stubborn", work.stubborn)
    process = psutil.Process(held.pid)
    held.job.cancel()
    process.wait(SOON)
    assert held.job.refresh().state is State.CANCELLED
    assert submit_nouser(work.triple, 1).wait(SOON).info.engine == held.job.info.engine


@pytest.mark.parametrize("whole_group", [False, True], ids=["job", "group"])
def test_to_remove_is_to_stop(cluster, tmp_path, store, whole_group):
    Group.of("no-user")
    submit_nouser(work.triple, 1).value(SOON)
    before = keys(store)
    group = Group.create("no-user", "a group")
    inner = Group.create(group, "in it")
    running = Held(tmp_path, "running", owner=inner)
    assert running.pid
    busy = Held(tmp_path, "busy")
    assert busy.pid
    noted = tmp_path / "noted"
    queued = submit(ctx_default, inner, "queued", None, work.note, str(noted))
    if whole_group:
        group.delete()
    else:
        queued.remove()  # before the engine of the other one is free for it
        running.job.remove()
        inner.delete()
        group.delete()
    assert running.ending() == "interrupted"
    busy.gate.touch()
    assert busy.job.value(SOON) == "released"
    busy.job.remove()
    last = submit_nouser(work.triple, 1)
    assert last.value(SOON) == 3
    last.remove()
    assert not noted.exists()
    left = {key.decode().removeprefix(store.config.prefix) for key in keys(store) - before}
    # What engines say of themselves and what has ended is kept for a day.
    kept = ("engine", "ended:", "workers:", "lingering:", "claims", "wake:")
    assert not {key for key in left if not key.startswith(kept)}


def test_a_group_is_cancelled_as_a_whole(cluster, tmp_path, store):
    group = Group.create("no-user", "a group")
    done = finish(store, job_in(store, group))
    running = Held(tmp_path, "running", owner=Group.create(group, "in it"))
    elsewhere = Held(tmp_path, "elsewhere")
    assert running.pid and elsewhere.pid
    queued = job_in(store, group)
    assert group.cancel() == 2
    assert running.ending() == "interrupted"
    assert [store.jobs.get(id).state for id in (done.id, queued.id)] == [
        State.SUCCESS,
        State.CANCELLED,
    ]
    assert group.totals() == store.tree.totals(group.id) == {"success": 1, "cancelled": 2}
    elsewhere.gate.touch()
    assert elsewhere.job.value(SOON) == "released"


async def test_a_page_cancels(server, cluster, tmp_path):
    user = await sync_to_async(get_user_model().objects.create_user)("ada")
    held = await sync_to_async(Held)(tmp_path, "held", owner=user)
    assert await sync_to_async(lambda: held.pid)()
    async with connected(server, user) as socket:
        await say(socket, "get", [held.job.id])
        assert (await hear(socket))[1]["state"] == "running"
        await say(socket, "cancel", [held.job.id])
        verb, info = await hear(socket)
        while info.get("state") != "cancelled":
            verb, info = await hear(socket)
        assert (verb, info["id"], info["status"]) == ("update", held.job.id, "Cancelled")
    assert await sync_to_async(held.ending)() == "interrupted"


def test_the_command_cancels(cluster, tmp_path, site_env):
    held = Held(tmp_path, "held")
    assert held.pid
    ran = manage("moi", "cancel", f"--job-id={held.job.id}", **site_env)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == f"Cancelled job id: {held.job.id}\n"
    assert held.ending() == "interrupted"
    ran = manage("moi", "cancel", f"--job-id={held.job.id}", **site_env)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == "The job has ended before, as cancelled.\n"
